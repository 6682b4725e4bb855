// Kubernetes manifests, without a cluster and without kubectl: each overlay is rendered here, each object is held against the
// types of the Kubernetes API (values by kubernetes-models' validators, unknown fields by the TypeScript compiler), and then
// against what a reviewer would ask. Where there is a kubectl that can render, both renderings must be the same.
//
// node tests/lint/manifests.mjs            exit 1 and one line for each fault
import { execFileSync, spawnSync } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const top = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
const tools = path.join(top, "tests/tools");
const require = createRequire(path.join(tools, "package.json"));
const yaml = require("js-yaml");
const faults = [];
const fault = (where, what) => faults.push(`${where}: ${what}`);
const read = (file) => fs.readFileSync(file, "utf8");
const documents = (text) => yaml.loadAll(text).filter((d) => d);
const id = (o) => `${o.kind}/${o.metadata?.name}`;

// --- rendering: the part of kustomize that k8s/ uses

const CLUSTER_WIDE = new Set(["Namespace", "PriorityClass", "ClusterRole", "ClusterRoleBinding"]);
const LIST_KEYS = ["name", "containerPort", "mountPath", "port", "topologyKey"];

function keyOf(list) {
	return LIST_KEYS.find((k) => list.length > 0 && list.every((e) => e && typeof e === "object" && k in e));
}

// A strategic merge: maps are merged, lists of named things by their name, other lists replaced. `path` decides where the API
// says "replace": rules and tls of an Ingress, egress and ingress of a policy.
function merge(to, patch) {
	if (Array.isArray(to) && Array.isArray(patch)) {
		const key = keyOf(to);
		if (!key || keyOf(patch) !== key) return patch;
		const out = to.map((e) => { const p = patch.find((x) => x[key] === e[key]); return p ? merge(e, p) : e; });
		return out.concat(patch.filter((x) => !to.some((e) => e[key] === x[key])));
	}
	if (to && patch && typeof to === "object" && typeof patch === "object" && !Array.isArray(to) && !Array.isArray(patch)) {
		const out = { ...to };
		for (const [k, v] of Object.entries(patch)) {
			if (v === null) delete out[k];
			else out[k] = k in out ? merge(out[k], v) : v;
		}
		return out;
	}
	return patch;
}

function* podSpecs(o) {
	const spec = o.kind === "CronJob" ? o.spec?.jobTemplate?.spec?.template?.spec : o.kind === "Pod" ? o.spec : o.spec?.template?.spec;
	if (spec?.containers) yield spec;
}

function setImages(o, images) {
	for (const spec of podSpecs(o))
		for (const c of [...(spec.initContainers ?? []), ...spec.containers])
			for (const i of images) {
				const [name] = c.image.split(":");
				if (name === i.name) c.image = `${i.newName ?? name}:${i.newTag ?? c.image.split(":")[1]}`;
			}
}

function render(dir) {
	const file = path.join(dir, "kustomization.yaml");
	const k = yaml.load(read(file));
	const known = ["apiVersion", "kind", "namespace", "resources", "patches", "images"];
	for (const key of Object.keys(k)) if (!known.includes(key)) fault(file, `this renderer does not know "${key}"`);
	let objects = [];
	for (const r of k.resources ?? []) {
		const at = path.join(dir, r);
		if (!fs.existsSync(at)) fault(file, `resource "${r}" does not exist`);
		else objects = objects.concat(fs.statSync(at).isDirectory() ? render(at) : documents(read(at)));
	}
	for (const p of k.patches ?? []) {
		for (const patch of documents(p.patch ?? read(path.join(dir, p.path)))) {
			const at = objects.findIndex((o) => id(o) === id(patch) && o.apiVersion === patch.apiVersion);
			if (at < 0) fault(file, `patch for ${id(patch)}: there is no such object`);
			else if (patch.$patch === "delete") objects.splice(at, 1);
			else objects[at] = merge(objects[at], patch);
		}
	}
	for (const o of objects) {
		setImages(o, k.images ?? []);
		if (!k.namespace) continue;
		if (o.kind === "Namespace") o.metadata.name = k.namespace;
		else if (!CLUSTER_WIDE.has(o.kind)) o.metadata.namespace = k.namespace;
	}
	return objects;
}

const canonical = (v) => JSON.stringify(v, (_, x) => x && typeof x === "object" && !Array.isArray(x)
	? Object.fromEntries(Object.entries(x).sort(([a], [b]) => (a < b ? -1 : 1))) : x);

function compareWithKubectl(dir, objects) {
	const r = spawnSync("kubectl", ["kustomize", dir], { encoding: "utf8" });
	if (r.error || r.status !== 0) {
		if (!r.error && !/unknown command/.test(r.stderr)) fault(dir, `kubectl kustomize: ${r.stderr.trim().split("\n").pop()}`);
		return;
	}
	const theirs = new Map(documents(r.stdout).map((o) => [id(o), canonical(o)]));
	for (const o of objects) {
		if (!theirs.has(id(o))) fault(dir, `${id(o)} is not in what kubectl renders`);
		else if (theirs.get(id(o)) !== canonical(o)) fault(dir, `${id(o)} is rendered otherwise by kubectl`);
		theirs.delete(id(o));
	}
	for (const extra of theirs.keys()) fault(dir, `${extra} is rendered by kubectl only`);
}

// --- types

const MODULES = { "monitoring.coreos.com": "@kubernetes-models/prometheus-operator" };
// No types are to be had for these; what they need is said here: paths that must be there.
const OPERATORS = {
	"postgresql.cnpg.io/v1/Cluster": ["spec.instances", "spec.storage.size", "spec.bootstrap.initdb.database"],
	"postgresql.cnpg.io/v1/ScheduledBackup": ["spec.schedule", "spec.cluster.name", "spec.method"],
	"barmancloud.cnpg.io/v1/ObjectStore": ["spec.retentionPolicy", "spec.configuration.destinationPath"],
};

function moduleOf(o) {
	const group = o.apiVersion.split("/")[0];
	return `${MODULES[group] ?? "kubernetes-models"}/${o.apiVersion}`;
}

const scratch = fs.mkdtempSync(path.join(tools, ".manifests-"));
process.on("exit", () => fs.rmSync(scratch, { recursive: true, force: true }));
// The packages are found from where they are installed.
fs.writeFileSync(path.join(scratch, "load.mjs"), "export const load = (name) => import(name);\n");
const { load } = await import(pathToFileURL(path.join(scratch, "load.mjs")).href);

async function checkTypes(objects, where, first) {
	const lines = [];
	for (const o of objects) {
		const operator = OPERATORS[`${o.apiVersion}/${o.kind}`];
		if (operator) {
			for (const p of operator)
				if (p.split(".").reduce((v, k) => v?.[k], o) === undefined) fault(where, `${id(o)}: ${p} is missing`);
			continue;
		}
		try {
			const m = await load(moduleOf(o));
			new m[o.kind](o).validate();
		} catch (e) {
			fault(where, `${id(o)}: ${e.message}`);
		}
		const n = first + lines.length;
		lines.push(`import type { I${o.kind} as K${n} } from "${moduleOf(o)}";\n`
			+ `export const v${n}: K${n} = ${JSON.stringify(o)}; // ${where} ${id(o)}\n`);
	}
	return lines;
}

// tsc tells of one unknown field an object at a time: the second shows when the first is mended.
function checkFields(lines) {
	fs.writeFileSync(path.join(scratch, "gen.ts"), lines.join(""));
	fs.writeFileSync(path.join(scratch, "package.json"), '{"type":"module"}');
	const r = spawnSync(process.execPath, [require.resolve("typescript/bin/tsc"), "--noEmit", "--strict", "--skipLibCheck",
		"--module", "nodenext", "--moduleResolution", "nodenext", path.join(scratch, "gen.ts")], { encoding: "utf8" });
	const text = lines.join("").split("\n");
	for (const m of r.stdout.matchAll(/gen\.ts\((\d+),\d+\): (.*)/g))
		fault(text[m[1] - 1]?.match(/\/\/ (\S+ \S+)$/)?.[1] ?? "types", m[2]);
	if (r.status !== 0 && !/gen\.ts/.test(r.stdout)) fault("tsc", r.stdout + r.stderr);
}

// --- what a reviewer asks

const matches = (labels, selector) => Object.entries(selector).every(([k, v]) => labels?.[k] === v);

function engineFacts() {
	const sources = execFileSync("grep", ["-rhoE", '"(CHAINWATCH_[A-Z_]+|DATABASE_URL|TMPDIR)"', path.join(top, "engine")], { encoding: "utf8" });
	return {
		env: new Set([...sources.matchAll(/"(\w+)"/g)].map((m) => m[1])),
		settings: read(path.join(top, "conf/chainwatch.lua")),
		routes: execFileSync("grep", ["-rhoE", 'path = "[^"]+"', path.join(top, "scripts/api")], { encoding: "utf8" }),
	};
}

function checkContainer(where, c, spec, o, facts, objects) {
	const at = `${where}: ${id(o)} container "${c.name}"`;
	const init = (spec.initContainers ?? []).includes(c);
	if (!/^[^:]+:[^:]+$/.test(c.image) || /:latest$/.test(c.image)) fault(at, `image "${c.image}" has no version`);
	if (!c.resources?.requests?.cpu || !c.resources?.requests?.memory) fault(at, "requests neither CPU nor memory");
	if (!c.resources?.limits?.memory) fault(at, "has no memory limit");
	const s = c.securityContext ?? {};
	if (s.allowPrivilegeEscalation !== false || s.readOnlyRootFilesystem !== true || !s.capabilities?.drop?.includes("ALL"))
		fault(at, "is not locked down (allowPrivilegeEscalation, readOnlyRootFilesystem, capabilities)");
	if (s.privileged || s.capabilities?.add) fault(at, "has privileges");
	if (["StatefulSet", "Deployment"].includes(o.kind) && !init && c.ports && (!c.livenessProbe || !c.readinessProbe))
		fault(at, "has no probes");
	for (const p of [c.startupProbe, c.livenessProbe, c.readinessProbe]) {
		if (!p?.httpGet) continue;
		if (!c.ports?.some((x) => x.name === p.httpGet.port || x.containerPort === p.httpGet.port)) fault(at, `probes port ${p.httpGet.port}, which it does not have`);
		if (!facts.routes.includes(`"${p.httpGet.path}"`)) fault(at, `probes ${p.httpGet.path}, which the engine does not serve`);
	}
	for (const p of [c.startupProbe, c.livenessProbe])
		if (p?.httpGet && p.httpGet.path !== "/health/live") fault(at, "liveness asks more than whether the process answers");
	for (const e of c.env ?? []) {
		if (/PASS|SECRET|KEY|DATABASE_URL/.test(e.name) && !e.valueFrom?.secretKeyRef) fault(at, `${e.name} is not taken from a secret`);
		if (/^(CHAINWATCH_|DATABASE_URL)/.test(e.name) && !facts.env.has(e.name)) fault(at, `the engine does not read ${e.name}`);
		const ref = e.valueFrom?.secretKeyRef;
		const secret = ref && objects.find((x) => x.kind === "Secret" && x.metadata.name === ref.name);
		if (ref && !(ref.key in (secret?.stringData ?? {}))) fault(at, `secret ${ref.name} has no key ${ref.key}`);
	}
	for (const m of c.volumeMounts ?? []) {
		const claims = o.spec.volumeClaimTemplates ?? [];
		if (!spec.volumes?.some((v) => v.name === m.name) && !claims.some((v) => v.metadata.name === m.name))
			fault(at, `mounts "${m.name}", which is no volume`);
	}
	if (!c.volumeMounts?.some((m) => m.mountPath === "/tmp") && !init) fault(at, "has no /tmp to write to");
	const script = c.command?.[0]?.match(/^\/usr\/local\/share\/chainwatch\/(.*)$/)?.[1];
	if (script && !fs.existsSync(path.join(top, script))) fault(at, `runs "${script}", which is not in the repository`);
	for (const a of c.args ?? []) {
		const m = a.match(/^(\w+)\.(\w+)=/);
		if (m && !new RegExp(`\\t${m[1]} = \\{[\\s\\S]*?-- ${m[2]} = `).test(facts.settings)) fault(at, `"${a}" is no setting of the engine`);
	}
}

function checkPod(where, o, spec, facts, objects) {
	const s = spec.securityContext ?? {};
	if (s.runAsNonRoot !== true || !s.runAsUser || s.seccompProfile?.type !== "RuntimeDefault") fault(where, `${id(o)}: the pod is not "restricted"`);
	if (spec.automountServiceAccountToken !== false) fault(where, `${id(o)}: mounts the token of its service account`);
	if (spec.hostNetwork || spec.hostPID || spec.volumes?.some((v) => v.hostPath)) fault(where, `${id(o)}: reaches into the host`);
	for (const v of spec.volumes ?? []) {
		const name = v.configMap?.name ?? v.secret?.secretName ?? v.persistentVolumeClaim?.claimName;
		const kind = v.configMap ? "ConfigMap" : v.secret ? "Secret" : "PersistentVolumeClaim";
		const held = name && objects.find((x) => x.kind === kind && x.metadata.name === name);
		if (name && !held) fault(where, `${id(o)}: volume "${v.name}" names ${kind}/${name}, which is not there`);
		for (const i of v.configMap?.items ?? []) if (held && !(i.key in held.data)) fault(where, `${id(o)}: ${kind}/${name} has no key ${i.key}`);
	}
	for (const c of [...(spec.initContainers ?? []), ...spec.containers]) checkContainer(where, c, spec, o, facts, objects);
}

function checkTogether(where, objects, facts) {
	const pods = objects.filter((o) => o.spec?.template?.spec || o.spec?.jobTemplate)
		.map((o) => ({ o, labels: (o.spec.template ?? o.spec.jobTemplate.spec.template).metadata?.labels, spec: [...podSpecs(o)][0] }));
	for (const o of objects) {
		if (o.kind === "Service") {
			const hit = pods.filter((p) => matches(p.labels, o.spec.selector));
			if (hit.length === 0) fault(where, `${id(o)}: its selector matches nothing`);
			for (const port of o.spec.ports)
				if (hit.length && !hit.some((p) => p.spec.containers.some((c) => c.ports?.some((x) => x.name === port.targetPort || x.containerPort === port.targetPort))))
					fault(where, `${id(o)}: port ${port.targetPort} is no port of what it selects`);
		}
		if (["StatefulSet", "Deployment"].includes(o.kind)) {
			if (!matches(o.spec.template.metadata.labels, o.spec.selector.matchLabels)) fault(where, `${id(o)}: its selector does not match its template`);
			if (o.spec.serviceName && !objects.some((x) => x.kind === "Service" && x.metadata.name === o.spec.serviceName)) fault(where, `${id(o)}: there is no service ${o.spec.serviceName}`);
			if (!o.spec.template.spec.priorityClassName) fault(where, `${id(o)}: no priority`);
		}
		if (o.kind === "PodDisruptionBudget" && !pods.some((p) => matches(p.labels, o.spec.selector.matchLabels))) fault(where, `${id(o)}: selects nothing`);
		if (o.kind === "HorizontalPodAutoscaler" && !objects.some((x) => x.kind === o.spec.scaleTargetRef.kind && x.metadata.name === o.spec.scaleTargetRef.name))
			fault(where, `${id(o)}: its target is not there`);
		if (o.kind === "Ingress")
			for (const r of o.spec.rules) for (const p of r.http.paths) {
				const s = objects.find((x) => x.kind === "Service" && x.metadata.name === p.backend.service.name);
				if (!s?.spec.ports.some((x) => x.name === p.backend.service.port.name)) fault(where, `${id(o)}: its service or port is not there`);
			}
		if (o.kind === "ServiceMonitor") {
			const s = objects.find((x) => x.kind === "Service" && matches(x.metadata.labels, o.spec.selector.matchLabels));
			if (!s?.spec.ports.some((x) => x.name === o.spec.endpoints[0].port)) fault(where, `${id(o)}: selects no service with that port`);
		}
		if (o.kind === "ConfigMap" && /(PASSWORD|_SECRET|cipher-pass|key-secret|postgresql:\/\/\S+:\S+@)\s*[=:]?\s*\S/i.test(JSON.stringify(o.data)))
			fault(where, `${id(o)}: a secret stands in a ConfigMap`);
		if (o.kind === "Secret")
			for (const [k, v] of Object.entries(o.stringData ?? o.data ?? {})) if (v) fault(where, `${id(o)}: ${k} has a value: secrets are not kept here`);
		if (o.kind === "CronJob" && (o.spec.timeZone !== "Etc/UTC" || o.spec.concurrencyPolicy !== "Forbid")) fault(where, `${id(o)}: wants timeZone Etc/UTC and Forbid`);
		for (const spec of podSpecs(o)) checkPod(where, o, spec, facts, objects);
	}
	const port = objects.find((o) => id(o) === "ConfigMap/chainwatch-config").data["chainwatch.lua"].match(/listen = "[^"]*:(\d+)"/)?.[1];
	const engine = objects.find((o) => id(o) === "StatefulSet/chainwatch").spec.template.spec.containers.find((c) => c.name === "engine");
	if (!engine.ports.some((p) => String(p.containerPort) === port)) fault(where, `the engine listens on ${port}, which is no port of its container`);
	const deny = objects.find((o) => o.kind === "NetworkPolicy" && Object.keys(o.spec.podSelector ?? { x: 1 }).length === 0 && !o.spec.ingress && !o.spec.egress);
	if (!deny || deny.spec.policyTypes.length !== 2) fault(where, "no NetworkPolicy denies by default");
	const space = objects.find((o) => o.kind === "Namespace");
	if (space?.metadata.labels?.["pod-security.kubernetes.io/enforce"] !== "restricted") fault(where, "Pod Security is not \"restricted\"");
}

function checkBackups(objects) {
	const get = (name) => objects.find((o) => id(o) === name);
	if (get("CronJob/postgres-backup")?.spec.schedule !== "0 2 * * *") fault("base", "the backup is not at 02:00");
	if (!get("CronJob/postgres-backup-verify")) fault("base", "no CronJob verifies backups");
	if (get("PersistentVolumeClaim/postgres-data")?.spec.resources.requests.storage !== "200Gi") fault("base", "the volume of PostgreSQL is not 200Gi");
	if (!Object.keys(get("Job/chainwatch-migrate-0-1-0") ?? {}).length) fault("base", "there is no migration job of this version");
	const alerts = JSON.stringify(get("PrometheusRule/chainwatch")?.spec ?? "");
	for (const m of yaml.load(read(path.join(top, "conf/prometheus/backup.yml"))).groups[0].rules)
		if (!alerts.includes(JSON.stringify(m.expr))) fault("base", `PrometheusRule lacks the alert ${m.alert} of conf/prometheus/backup.yml`);
}

function checkDockerfile() {
	const text = read(path.join(top, "Dockerfile")), deps = read(path.join(top, "scripts/ops/deps.sh"));
	for (const m of text.matchAll(/^FROM (\S+)/gm)) if (m[1] !== "engine" && (!/:\d/.test(m[1]))) fault("Dockerfile", `"${m[1]}" has no version`);
	if (!/^USER \d+:\d+$/m.test(text.split("AS tools")[0]) || !/USER \d+:\d+\s*$/.test(text)) fault("Dockerfile", "an image runs as root");
	const run = deps.match(/^packages="([^"]*)"/m)[1];
	for (const p of run.match(/[a-z][a-z0-9.+-]*-dev/g)) if (!new RegExp(`\\s${p}\\s`).test(text)) fault("Dockerfile", `the build lacks ${p}, which deps.sh installs`);
	for (const m of text.matchAll(/^COPY (?!--from)(\S+)/gm)) {
		if (!fs.existsSync(path.join(top, m[1]))) fault("Dockerfile", `copies "${m[1]}", which is not there`);
		if (!read(path.join(top, ".dockerignore")).includes(`!${m[1]}\n`)) fault(".dockerignore", `leaves out "${m[1]}"`);
	}
}

const facts = engineFacts();
const k8s = process.env.CHAINWATCH_K8S ?? path.join(top, "k8s");
let lines = [];
for (const name of ["base", ...fs.readdirSync(path.join(k8s, "overlays")).sort().map((o) => `overlays/${o}`)]) {
	const dir = path.join(k8s, name);
	const objects = render(dir);
	const seen = new Set();
	for (const o of objects) {
		if (seen.has(id(o))) fault(name, `${id(o)} is there twice`);
		seen.add(id(o));
	}
	compareWithKubectl(dir, objects);
	lines = lines.concat(await checkTypes(objects, name, lines.length));
	checkTogether(name, objects, facts);
	if (name === "base") checkBackups(objects);
}
checkFields(lines);
checkDockerfile();
for (const f of faults) console.log(f);
process.exit(faults.length ? 1 : 0);
