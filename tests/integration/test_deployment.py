"""What packaging/ has for services and containers: hooks that do what they say, files that can be read, command lines
that shs takes."""

import json
import os
import re
import shutil

import shslib
from shslib import check, equal

PACKAGING = shslib.SOURCE_DIR + "/packaging"


def takes(words):
    """The command line is one, but for the files that it names."""
    words = [word for word in words if word not in ("--watch", "--cert", "--key", "/tls/tls.crt", "/tls/tls.key", "/srv/www")]
    code, _, err = shslib.run(shslib.BIN, *words, "--print-config")
    equal((code, err), (0, ""), str(words))


def test_container():
    text = open(PACKAGING + "/container/Containerfile").read()
    takes(json.loads(re.search(r"^CMD (\[.*\])$", text, re.M).group(1)))
    equal(json.loads(re.search(r"^ENTRYPOINT (\[.*\])$", text, re.M).group(1)), ["/usr/bin/shs"])
    if shslib.SANITIZE or os.geteuid() != 0:
        print("       the image's files are not tried: that takes root, and a build without sanitizers")
        return
    # What its second stage is made of runs with nothing else beside it.
    run = re.search(r"&& (install -D build/release/shs .*?)\n\n", text, re.S).group(1)
    with shslib.temp_dir() as top:
        run = run.replace("build/release/shs", shslib.BIN).replace("/out", top)
        code, out, err = shslib.run("sh", "-euc", run)
        equal(code, 0, out + err)
        os.chmod(top, 0o755)
        code, out, err = shslib.run("chroot", "--userspec=65532:65532", top, "/usr/bin/shs", "version")
        check(code == 0 and out.startswith("shs "), "%d %s %s" % (code, out, err))


def test_yaml():
    try:
        import yaml
    except ImportError:
        print("       no python3-yaml: left out")
        return
    deployment, service = yaml.safe_load_all(open(PACKAGING + "/container/kubernetes.yaml"))
    pod = deployment["spec"]["template"]["spec"]
    container = pod["containers"][0]
    takes(container["args"])
    value = {flag: int(container["args"][container["args"].index(flag) + 1]) for flag in ("--drain-grace", "--stop-timeout")}
    check(sum(value.values()) + 4000 < pod["terminationGracePeriodSeconds"] * 1000, "killed before it has stopped")
    ports = {port["name"] for port in container["ports"]}
    check({container[probe]["httpGet"]["port"] for probe in ("readinessProbe", "livenessProbe")} <= ports, str(ports))
    equal(service["spec"]["selector"], deployment["spec"]["template"]["metadata"]["labels"])
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    equal(mounts, {volume["name"] for volume in pod["volumes"]})
    compose = yaml.safe_load(open(PACKAGING + "/container/compose.yaml"))["services"]["shs"]
    check(os.path.exists(shslib.SOURCE_DIR + "/" + compose["build"]["dockerfile"]), str(compose))


def test_hooks():
    """With an /etc/shs of their own and a systemctl that writes down what it is asked."""
    for name, variables in (("certbot", {"RENEWED_LINEAGE": "{}"}),
                            ("lego", {"LEGO_CERT_PATH": "{}/fullchain.pem", "LEGO_CERT_KEY_PATH": "{}/privkey.pem"})):
        with shslib.temp_dir() as top:
            for file in ("fullchain.pem", "privkey.pem"):
                shslib.write_file(top + "/" + file, file.encode())
            shslib.write_file(top + "/bin/systemctl", b"#!/bin/sh\necho \"$*\" >%s/asked\n" % top.encode())
            os.chmod(top + "/bin/systemctl", 0o755)
            script = open(PACKAGING + "/hooks/%s-deploy.sh" % name).read()
            shslib.write_file(top + "/hook", script.replace("/etc/shs", top + "/etc").encode())
            environment = {key: text.format(top) for key, text in variables.items()}
            code, out, err = shslib.run("sh", top + "/hook", env=dict(environment, PATH=top + "/bin:" + os.environ["PATH"]))
            equal(code, 0, out + err)
            equal((open(top + "/etc/tls.crt").read(), open(top + "/etc/tls.key").read()), ("fullchain.pem", "privkey.pem"))
            equal(os.stat(top + "/etc/tls.key").st_mode & 0o777, 0o600)
            equal(open(top + "/asked").read(), "try-restart shs.service\n")
            check(shslib.run("sh", top + "/hook", env={"PATH": top + "/bin:" + os.environ["PATH"]})[0] != 0, "without variables")


def test_unit():
    unit = open(PACKAGING + "/systemd/shs.service.in").read().replace("@CMAKE_INSTALL_FULL_BINDIR@", os.path.dirname(shslib.BIN))
    line = re.search(r"^ExecStart=(.*)$", unit, re.M).group(1).replace("$SHS_FLAGS ", "").split(" ")[1:]
    at = line.index("--bind")
    takes([word for word in line[:at] + line[at + 2:] if "CREDENTIALS" not in word])
    if shutil.which("systemd-analyze") is None:
        print("       no systemd-analyze: its exposure is left out")
        return
    with shslib.temp_dir() as top:
        shslib.write_file(top + "/shs.service", unit.encode())
        shutil.copy(PACKAGING + "/systemd/shs.socket", top)
        _, out, err = shslib.run("systemd-analyze", "security", "--offline=true", "--no-pager", top + "/shs.service")
        found = re.search(r"exposure level for shs.service: ([0-9.]+)", out + err)
        check(found and float(found.group(1)) <= 2.0, (out + err)[-500:])


shslib.main(test_container, test_yaml, test_hooks, test_unit)
