#!/bin/sh
# For certbot: copy it to /etc/letsencrypt/renewal-hooks/deploy/shs and make it executable.
# certbot sets RENEWED_LINEAGE to the directory of the new certificate. systemd has copied the old one at the
# start of the service, so this restarts it: nobody is refused, for the port stays with shs.socket.
set -eu

: "${RENEWED_LINEAGE:?certbot sets it}"
install -d -m 755 /etc/shs
install -m 644 "$RENEWED_LINEAGE/fullchain.pem" /etc/shs/tls.crt.new
install -m 600 "$RENEWED_LINEAGE/privkey.pem" /etc/shs/tls.key.new
mv /etc/shs/tls.key.new /etc/shs/tls.key
mv /etc/shs/tls.crt.new /etc/shs/tls.crt
systemctl try-restart shs.service
