"""Checks what no schema knows: that the files in deploy/ agree with each other and with the program.

    facts.py MANIFESTS          the Kubernetes manifests as `kubectl kustomize` prints them
"""

import pathlib
import re
import sys
import tomllib

import yaml

UID = 65532
# The Dockerfile's own volume: with another place it would be one beside the one that is mounted.
STATE = re.search(r"^VOLUME (\S+)$", pathlib.Path("Dockerfile").read_text(), re.M).group(1)
VERSION = tomllib.loads(pathlib.Path("Cargo.toml").read_text())["package"]["version"]
IMAGE = f"qarbiter/qarbiter:{VERSION}"

wrong = []


def same(what, found, expected):
    if found != expected:
        wrong.append(f"{what}: {found!r}, not {expected!r}")


def load(path):
    return yaml.safe_load(pathlib.Path(path).read_text())


def kubernetes(path):
    found = {one["kind"]: one for one in yaml.safe_load_all(pathlib.Path(path).read_text())}
    sts = found["StatefulSet"]["spec"]
    pod = sts["template"]["spec"]
    container = pod["containers"][0]
    same("replicas", sts["replicas"], 1)
    same("image", container["image"], IMAGE)
    for key, value in (("runAsNonRoot", True), ("runAsUser", UID), ("fsGroup", UID)):
        same(key, pod["securityContext"][key], value)
    same("readOnlyRootFilesystem", container["securityContext"]["readOnlyRootFilesystem"], True)
    same("capabilities", container["securityContext"]["capabilities"], {"drop": ["ALL"]})
    same("ports", {p["name"]: p["containerPort"] for p in container["ports"]}, {"votes": 5403, "http": 8403})
    same("mount", container["volumeMounts"][0]["mountPath"], STATE)
    same("claim", container["volumeMounts"][0]["name"], sts["volumeClaimTemplates"][0]["metadata"]["name"])
    for probe, url in (("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        same(probe, container[probe]["httpGet"], {"path": url, "port": "http"})
    labels = sts["template"]["metadata"]["labels"]
    same("the service's selector", found["Service"]["spec"]["selector"], labels)
    same("the budget's selector", found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"], labels)
    same("published ports", [p["port"] for p in found["Service"]["spec"]["ports"]], [5403])
    rules = found["NetworkPolicy"]["spec"]["ingress"]
    for rule in rules:
        if any(port["port"] in ("http", 8403) for port in rule["ports"]) and not rule.get("from"):
            wrong.append("the NetworkPolicy lets everybody reach HTTP")


def compose():
    service = load("deploy/compose/compose.yaml")["services"]["qarbiter"]
    same("compose: image", service["image"], IMAGE)
    same("compose: ports", service["ports"], ["5403:5403", "127.0.0.1:8403:8403"])
    same("compose: user", service["user"], f"{UID}:{UID}")
    same("compose: volumes", service["volumes"], [f"state:{STATE}"])
    same("compose: read_only", service["read_only"], True)


def home_assistant():
    addon = load("deploy/home-assistant/qarbiter/config.yaml")
    same("add-on: version", addon["version"], VERSION)
    same("add-on: published ports", addon["ports"], {"5403/tcp": 5403})
    same("add-on: ingress", (addon["ingress"], addon["ingress_port"]), (True, 8403))
    for path in pathlib.Path("deploy/home-assistant/qarbiter/translations").glob("*.yaml"):
        words = load(path)
        same(f"{path.name}: options", set(words["configuration"]), set(addon["schema"]))
        same(f"{path.name}: ports", set(words["network"]), set(addon["ports"]))
    script = pathlib.Path("deploy/home-assistant/qarbiter/run.sh").read_text()
    same("add-on: options that are read", set(re.findall(r"\(option (\w+)\)", script)), set(addon["schema"]))


def openwrt():
    makefile = pathlib.Path("deploy/openwrt/Makefile").read_text()
    same("OpenWrt: version", re.search(r"^PKG_VERSION:=(.*)$", makefile, re.M).group(1), VERSION)
    for name in re.findall(r"\./files/(\S+)", makefile):
        if not pathlib.Path("deploy/openwrt/files", name).exists():
            wrong.append(f"OpenWrt: {name} does not exist")
    page = pathlib.Path("docs/install/openwrt.md").read_text()
    script = pathlib.Path("deploy/openwrt/files/qarbiter.init").read_text()
    for letter, name in (("S", "START"), ("K", "STOP")):
        link = f"/etc/rc.d/{letter}{re.search(rf'^{name}=(.*)$', script, re.M).group(1)}qarbiter"
        if link not in page:
            wrong.append(f"OpenWrt: the page does not let sysupgrade keep {link}")
    parts = re.search(r"\$\(foreach part,([^,]*),", makefile).group(1).split()
    for part in parts:
        if not pathlib.Path(part).exists():
            wrong.append(f"OpenWrt: {part} does not exist")


def changelog():
    newest = re.search(r"^## (\S+)", pathlib.Path("CHANGELOG.md").read_text(), re.M).group(1)
    same("CHANGELOG.md: newest entry", newest, VERSION)


kubernetes(sys.argv[1])
compose()
home_assistant()
openwrt()
changelog()
for line in wrong:
    print("deploy/:", line, file=sys.stderr)
sys.exit(bool(wrong))
