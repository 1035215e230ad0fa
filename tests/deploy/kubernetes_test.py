"""The manifests of deploy/kubernetes. Oracle: the published schemas of Kubernetes (package kubernetes-validate, strict: no
unknown member), and schemas.yaml for the two kinds of other projects. Beyond them, what schemas cannot say: names that
refer to each other, ports, settings, metric names."""
import glob
import os
import re
import tomllib

import jsonschema
import kubernetes_validate
import yaml

import common

FOLDER = os.path.join(common.DEPLOY, "kubernetes")
VERSIONS = ("1.31", "1.34", "1.37")


def documents():
    for path in sorted(glob.glob(os.path.join(FOLDER, "*.yaml"))):
        with open(path) as f:
            for document in yaml.safe_load_all(f):
                yield os.path.basename(path), document


def schemas():
    with open(os.path.join(os.path.dirname(__file__), "schemas.yaml")) as f:
        return yaml.safe_load(f)


def check_schema(document, own):
    kind = document["kind"]
    if kind in own:
        jsonschema.Draft202012Validator(own[kind]).validate(document)
        return
    for version in VERSIONS:
        kubernetes_validate.validate(document, version, strict=True)


def refused(document, own):
    try:
        check_schema(document, own)
    except (jsonschema.ValidationError, kubernetes_validate.ValidationError):
        return True
    return False


def settings_of_the_program():
    with open(os.path.join(common.ROOT, "docs", "reference", "settings.md")) as f:
        section = None
        out = set()
        for line in f:
            if line.startswith("## "):
                section = line[3:].strip()
            elif match := re.match(r"\| `(\w+)` \|", line):
                out.add(f"{section}.{match[1]}")
    return out


def check_references(by_kind):
    deployment = by_kind["Deployment"]
    template = deployment["spec"]["template"]
    labels = template["metadata"]["labels"]
    selectors = [by_kind["Service"]["spec"]["selector"]]
    for kind in ("Deployment", "PodDisruptionBudget", "InferencePool"):
        selectors.append(by_kind[kind]["spec"]["selector"]["matchLabels"])
    selectors.append(by_kind["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"])
    for selector in selectors:
        assert selector.items() <= labels.items(), selector
    for kind in ("ScaledObject", "HorizontalPodAutoscaler"):
        target = by_kind[kind]["spec"]["scaleTargetRef"]
        assert (target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"])
    pod = template["spec"]
    container = pod["containers"][0]
    port = container["ports"][0]["containerPort"]
    assert by_kind["InferencePool"]["spec"]["targetPorts"] == [{"number": port}]
    assert by_kind["NetworkPolicy"]["spec"]["ingress"][0]["ports"][0]["port"] == port
    assert template["metadata"]["annotations"]["prometheus.io/port"] == str(port)
    volumes = {v["name"] for v in pod["volumes"]}
    for c in pod["containers"] + pod["initContainers"]:
        assert {m["name"] for m in c["volumeMounts"]} <= volumes
        assert c["securityContext"]["readOnlyRootFilesystem"] and c["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    return pod, container, port


def check_settings(config_map, pod, port):
    settings = tomllib.loads(config_map["data"]["holdfast.toml"])
    known = settings_of_the_program()
    for section, values in settings.items():
        for key in values:
            assert f"{section}.{key}" in known, f"{section}.{key} is no setting"
    assert settings["server"]["listen"].endswith(f":{port}")
    drain = int(settings["server"]["drain"].removesuffix("s"))
    pause = int(pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] > drain + pause


def check_metric_names(by_kind):
    with open(os.path.join(common.ROOT, "docs", "reference", "metrics.md")) as f:
        known = set(re.findall(r"^\| `([\w:]+)` \|", f.read(), re.M))
    text = by_kind["ScaledObject"]["spec"]["triggers"][0]["metadata"]["query"]
    with open(os.path.join(FOLDER, "inferencepool.yaml")) as f:
        text += f.read()
    names = set(re.findall(r"vllm:\w+", text))
    assert len(names) >= 4 and names <= known, names - known


def main():
    own = schemas()
    all_documents = dict(((d["kind"]), d) for _, d in documents() if d["kind"] != "Kustomization")
    for name, document in documents():
        if document["kind"] == "Kustomization":
            for resource in document["resources"]:
                assert os.path.exists(os.path.join(FOLDER, resource)), resource
            continue
        try:
            check_schema(document, own)
        except Exception as e:
            raise AssertionError(f"{name}: {e}") from e
        # The schema must see a member that does not exist, wherever it stands.
        document["spec" if "spec" in document else "metadata"]["noSuchMember"] = 1
        assert refused(document, own), name
        del document["spec" if "spec" in document else "metadata"]["noSuchMember"]
    pod, _, port = check_references(all_documents)
    check_settings(all_documents["ConfigMap"], pod, port)
    check_metric_names(all_documents)
    print("ok")


main()
