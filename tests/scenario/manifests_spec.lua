--- The linter of Kubernetes manifests finds what is wrong: a copy with one fault of each kind.

local engine = require "tests.support.engine"

describe("manifests", function()
  local dir
  setup(function()
    dir = engine.tmpdir()
    os.execute("cp -R k8s " .. dir .. "/k8s")
  end)
  teardown(function() os.execute("rm -rf " .. dir) end)

  local FAULTS = {
    { "engine-statefulset.yaml", "periodSeconds: 2$", "periodSecond: 2", "periodSecond" },
    { "engine-statefulset.yaml", "/health/ready", "/health/readyy", "probes /health/readyy, which the engine does not serve" },
    { "engine-statefulset.yaml", "name: CHAINWATCH_CONFIG", "name: CHAINWATCH_CONFG", "the engine does not read CHAINWATCH_CONFG" },
    { "postgres-statefulset.yaml", "image: chainwatch/tools:0.1.0", "image: chainwatch/tools:latest", "has no version" },
    { "postgres-statefulset.yaml", "claimName: postgres-data", "claimName: postgres-dat", "PersistentVolumeClaim/postgres-dat, which is not there" },
    { "postgres-service.yaml", "targetPort: pgbackrest", "targetPort: pgbackrets", "port pgbackrets is no port of what it selects" },
    { "engine-service.yaml", "    app.kubernetes.io/name: chainwatch$", "    app.kubernetes.io/name: chainwotch", "its selector matches nothing" },
    { "engine-configmap.yaml", "0.0.0.0:8080", "0.0.0.0:8081", "the engine listens on 8081" },
    { "backup-cronjob.yaml", "timeZone: Etc/UTC", "timeZone: Europe/Berlin", "wants timeZone Etc/UTC" },
    { "backup-cronjob.yaml", "0 2 \\* \\* \\*", "0 3 * * *", "the backup is not at 02:00" },
    { "backup-verify-cronjob.yaml", "backup.pgbackrest_conf", "backup.pgbackrest_cnf", "is no setting of the engine" },
    { "migrate-job.yaml", "runAsNonRoot: true", "runAsNonRoot: false", 'is not "restricted"' },
    { "migrate-job.yaml", "drop: \\[ALL\\]", "drop: [NET_RAW]", "is not locked down" },
    { "rules-configmap.yaml", "return {}", "-- POSTGRES_PASSWORD=hunter2", "a secret stands in a ConfigMap" },
    { "postgres-secret.yaml", 'POSTGRES_PASSWORD: ""', 'POSTGRES_PASSWORD: "hunter2"', "POSTGRES_PASSWORD has a value" },
    { "postgres-pvc.yaml", "200Gi", "20Gi", "the volume of PostgreSQL is not 200Gi" },
    { "engine-hpa.yaml", "maxReplicas: 3", 'maxReplicas: "three"', "maxReplicas" },
    { "networkpolicy.yaml", "podSelector: {}", "podSelectr: {}", "podSelectr" },
    { "prometheusrule.yaml", "26 \\* 3600", "50 * 3600", "lacks the alert ChainwatchBackupNotVerified" },
    { "engine-pdb.yaml", "      app.kubernetes.io/name: postgres", "      app.kubernetes.io/name: postgrs", "selects nothing" },
    { "namespace.yaml", "enforce: restricted", "enforce: baseline", 'Pod Security is not "restricted"' },
  }

  it("names each of them", function()
    for _, f in ipairs(FAULTS) do
      local before = engine.read(dir .. "/k8s/base/" .. f[1])
      os.execute(string.format("sed -i -e 's#%s#%s#' %s/k8s/base/%s", f[2], f[3], dir, f[1]))
      assert.is_true(before ~= engine.read(dir .. "/k8s/base/" .. f[1]), f[1] .. ": " .. f[2] .. " is not there")
    end
    local code, words = engine.run("CHAINWATCH_K8S=" .. dir .. "/k8s node tests/lint/manifests.mjs")
    assert.equal(1, code)
    for _, f in ipairs(FAULTS) do assert.is_truthy(words:find(f[4], 1, true), f[4] .. " is not found in\n" .. words) end
  end)
end)
