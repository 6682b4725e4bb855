--- The commands of the documents that need more than an engine: backups, migrations of a folder, Kubernetes, an old database.
--- A block "```sh NAME" is run here by the name; docs_spec runs those without one.

local engine = require "tests.support.engine"
local postgres = require "tests.support.postgres"

local DOCUMENTS = { "docs/OPERATIONS.md", "docs/DATABASE_MIGRATION_GUIDE.md" }

describe("documents of operation", function()
  local pg, dir
  setup(function()
    pg = postgres.start()
    local _, path = engine.run("d=$(mktemp -d -p $(test -w /dev/shm && echo /dev/shm || echo /tmp) cw-test-XXXXXX); chmod 755 $d; echo $d")
    dir = path:gsub("%s+$", "")
  end)
  teardown(function()
    pg:stop()
    os.execute("rm -rf " .. dir)
  end)

  local function run(name, environment)
    local n = 0
    for _, document in ipairs(DOCUMENTS) do
      local script = { "set -e", "export TMPDIR=" .. dir, environment }
      for kind, block in engine.read(document):gmatch("\n```sh (%l+)\n(.-)\n```") do
        if kind == name then
          n = n + 1
          script[#script + 1] = block:gsub("/tmp/", dir .. "/")
        end
      end
      engine.write(dir .. "/script.sh", table.concat(script, "\n") .. "\n")
      local code, words = engine.run("bash " .. dir .. "/script.sh </dev/null")
      assert.equal(0, code, document .. ":\n" .. words)
    end
    assert.is_true(n > 0, "no block " .. name)
  end

  it("backup, restore, upgrade", function()
    engine.write(dir .. "/backup.lua", 'return { general = { data_dir = "' .. dir .. '/data" }, backup = { enabled = true, schedule = "" } }\n')
    engine.run("mkdir " .. dir .. "/data")
    local e = engine.start { dir = dir .. "/data", env = "CHAINWATCH_CONFIG=" .. dir .. "/backup.lua" }
    e:post("/api/v1/predict", engine.tx())
    run("backup", "export CHAINWATCH_CONFIG=" .. dir .. "/backup.lua")
    assert.equal("1", e:sql("SELECT count(*) FROM transactions"))
    e:stop { "could not export the head" }   -- the log went back with the rest
  end)

  it("scripts without the engine", function()
    local url = pg:database("documents")
    engine.run(string.format("DATABASE_URL=%q %s migrate up", url, engine.bin))
    run("scripts", string.format("export DATABASE_URL=%q", url))
  end)

  it("migrations", function()
    os.execute("cp -R migrations " .. dir .. "/migrations")
    engine.write(dir .. "/migrate.lua", 'return { general = { data_dir = "' .. dir .. '/nothing" }, database = { migrations_dir = "' .. dir
      .. '/migrations" } }\n')
    local url = pg:database("guide")
    engine.run(string.format("DATABASE_URL=%q %s migrate up", url, engine.bin))
    -- the guide's own file: it is empty when `new` has made it, so its sections are put in when they are read
    local sql = engine.read("docs/DATABASE_MIGRATION_GUIDE.md"):match("\n```sql\n(.-)\n```")
    engine.write(dir .. "/section.sql", sql .. "\n")
    run("migrations", string.format("export DATABASE_URL=%q CHAINWATCH_CONFIG=%s/migrate.lua", url, dir))
    local code, words = engine.run(string.format("cp %s/section.sql %s/migrations/21000101000000_watch_notes.sql; export DATABASE_URL=%q "
      .. "CHAINWATCH_CONFIG=%s/migrate.lua TMPDIR=%s; %s migrate up && %s migrate verify --offline", dir, dir, url, dir, dir, engine.bin, engine.bin))
    assert.equal(0, code, words)
  end)

  it("a database of the reference system", function()
    local url = pg:database("reference")
    pg.sql(url, engine.read("tests/data/reference_schema.sql"))
    run("adopt", string.format("export DATABASE_URL=%q", url))
    assert.equal("2000", pg.sql(url, "SELECT count(*) FROM transactions"))
  end)

  -- There is no cluster here: a stand-in holds what is named against what is in k8s/.
  it("Kubernetes", function()
    os.execute("mkdir -p " .. dir .. "/bin")
    engine.write(dir .. "/bin/kubectl", [[#!/bin/bash
set -e
has() { grep -rqE "name: $1$" k8s/base || { echo "there is no $1" >&2; exit 1; }; }
while [ $# -gt 0 ]; do
	case $1 in
	-n) [ "$2" = chainwatch ]; shift ;;
	-k | kustomize) test -f "$2/kustomization.yaml"; shift ;;
	job/* | statefulset/*) has "${1#*/}" ;;
	--from=cronjob/*) has "${1#*/}" ;;
	namespace) has "$2"; shift ;;
	generic) has "$2"; shift ;;
	esac
	shift
done
]])
    os.execute("chmod +x " .. dir .. "/bin/kubectl")
    run("kubernetes", "export PATH=" .. dir .. "/bin:$PATH")
  end)
end)
