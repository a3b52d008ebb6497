#!/bin/sh
# For lego: lego ... renew --renew-hook /usr/local/sbin/shs-lego-deploy
# lego sets LEGO_CERT_PATH (with the chain) and LEGO_CERT_KEY_PATH.
set -eu

: "${LEGO_CERT_PATH:?lego sets it}" "${LEGO_CERT_KEY_PATH:?lego sets it}"
install -d -m 755 /etc/shs
install -m 644 "$LEGO_CERT_PATH" /etc/shs/tls.crt.new
install -m 600 "$LEGO_CERT_KEY_PATH" /etc/shs/tls.key.new
mv /etc/shs/tls.key.new /etc/shs/tls.key
mv /etc/shs/tls.crt.new /etc/shs/tls.crt
systemctl try-restart shs.service
