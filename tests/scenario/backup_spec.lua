--- Backup, verification and restore: drills with damage, on the private PostgreSQL, on another one, and on S3.

local engine = require "tests.support.engine"
local postgres = require "tests.support.postgres"
local cjson = require "cjson"
local socket = require "socket"

local function instant() return os.date("!%Y-%m-%dT%H:%M:%S", math.floor(socket.gettime())) .. "Z" end

describe("backup", function()
  local dir
  -- In memory where there is some: a disk takes seconds for the thousand files of each cluster.
  setup(function()
    local _, path = engine.run("d=$(mktemp -d -p $(test -w /dev/shm && echo /dev/shm || echo /tmp) cw-test-XXXXXX); chmod 755 $d; echo $d")
    dir = path:gsub("%s+$", "")
  end)
  teardown(function() os.execute("rm -rf " .. dir) end)

  local function cw(data, args, set)
    return engine.run("TMPDIR=" .. dir .. string.format(" CHAINWATCH_DATA_DIR=%s %s %s %s </dev/null", data, engine.bin, args,
      set or "--set backup.enabled=true"))
  end
  local count = 0
  local function fresh()
    count = count + 1
    os.execute("mkdir " .. dir .. "/" .. count)
    return dir .. "/" .. count
  end
  local function ok(data, args, set)
    local code, words = cw(data, args, set)
    assert.equal(0, code, words)
    return words
  end

  it("drill: damage, then back to a second before it, with the engine running", function()
    local e = engine.start { dir = fresh(), sets = { "backup.enabled=true", "backup.schedule=" } }
    for _ = 1, 20 do assert.equal(200, (e:post("/api/v1/predict", engine.tx()))) end
    ok(e.dir, "backup run")
    local listed = cjson.decode(ok(e.dir, "backup list --json"))
    assert.equal("physical", listed[1].kind)
    assert.equal("full", listed[1].type)
    assert.equal("logical", listed[2].kind)
    -- later rows are only in the archived WAL: no backup has them
    for _ = 1, 10 do assert.equal(200, (e:post("/api/v1/predict", engine.tx()))) end
    local facts = "SELECT (SELECT count(*) FROM transactions), (SELECT sum(value) FROM transactions), (SELECT count(*) FROM predictions)"
    local before = e:sql(facts)
    assert.equal("30", before:match("^%d+"))
    socket.sleep(1.1) -- the clock of the target has whole seconds
    local good = instant()
    socket.sleep(1.1)
    e:sql("DELETE FROM predictions WHERE id % 2 = 0; DROP TABLE labels; UPDATE transactions SET value = 0")
    e:sql("SELECT pg_switch_wal()")
    local code, words = cw(e.dir, "restore --to " .. good)
    assert.equal(2, code, words)
    assert.is_truthy(words:find("say --yes", 1, true), words)
    code, words = cw(e.dir, "restore --yes --to " .. os.date("!%Y-%m-%dT%H:%M:%SZ", os.time() + 3600))
    assert.is_true(code ~= 0, words)
    assert.is_truthy(words:find("recovery ended before configured recovery target was reached", 1, true), words)
    words = ok(e.dir, "restore --yes --to " .. good)
    local downtime = tonumber(words:match("downtime%s+([%d.]+) s"))
    io.stderr:write("# downtime of a restore with the engine: ", downtime, " s\n")
    assert.is_true(downtime < 30)
    assert.equal(before, e:sql(facts))
    assert.equal("0", e:sql("SELECT count(*) FROM labels"))
    -- the engine is there again by itself, and takes what it is given
    e.port = tonumber(engine.read(e.dir .. "/engine.pid"):match(":(%d+)\n"))
    assert.equal(200, (e:post("/api/v1/predict", engine.tx())))
    assert.equal("31", e:sql("SELECT count(*) FROM transactions"))
    code, words = cw(e.dir, "restore --yes --to latest")
    assert.equal(1, code, words)
    assert.is_truthy(words:find("is still kept in", 1, true), words)
    ok(e.dir, "restore --yes --confirm")
    -- a dump, by the same engine
    local dump = ok(e.dir, "backup run --logical"):match("(%S+%.dump)")
    e:sql("DELETE FROM predictions")
    words = ok(e.dir, "restore --yes --to " .. dump)
    local away = tonumber(words:match("database ([%d.]+) s"))
    io.stderr:write("# the database was away for ", away, " s of a logical restore\n")
    assert.is_true(away < 5)
    assert.equal("31", e:sql("SELECT count(*) FROM predictions"))
    ok(e.dir, "restore --yes --undo")
    assert.equal("0", e:sql("SELECT count(*) FROM predictions"))
    e:stop { "could not export the head" }
  end)

  it("backs up and verifies by itself at its time, says so in the metrics, and finds damage", function()
    -- the time is now, and some seconds of this minute are left
    engine.wait("a minute's beginning", 61, function() return os.time() % 60 < 40 end)
    local e = engine.start { dir = fresh(), sets = { "backup.enabled=true", "backup.schedule=" .. os.date("!%H:%M") } }
    for _ = 1, 5 do e:post("/api/v1/predict", engine.tx()) end
    engine.wait("the backup of the schedule and its verification", 120, function()
      return e:sql("SELECT count(*) FROM job_runs WHERE name = 'backup.verify' AND status = 'succeeded'") == "2"
    end)
    local code, words
    assert.equal("logical physical", e:sql("SELECT string_agg(detail->>'kind', ' ' ORDER BY detail->>'kind') FROM job_runs "
      .. "WHERE name = 'backup.verify' AND status = 'succeeded'"))
    engine.wait("the metric", 30, function()
      local _, text = e:get("/metrics")
      local at = tonumber(text:match("\nchainwatch_backup_last_verified_timestamp_seconds ([%d.e+]+)"))
      return at and math.abs(at - socket.gettime()) < 120
    end)
    -- a note that is not what the backup holds; a file that is not what it was
    e:sql([[UPDATE job_runs SET detail = jsonb_set(detail, '{manifest}', to_jsonb(regexp_replace(detail->>'manifest',
      'rows public.transactions=[0-9]+', 'rows public.transactions=999'))) WHERE name = 'backup.run']])
    code, words = cw(e.dir, "backup verify --physical")
    assert.equal(1, code, words)
    assert.is_truthy(words:find("rows public.transactions: 999 expected, ", 1, true), words)
    os.execute("f=$(find " .. e.dir .. "/backup/repo/backup -path '*bundle/*' -type f | head -n 1); printf xxxx | "
      .. "dd of=$f bs=1 seek=64 conv=notrunc 2>/dev/null; f=$(ls " .. e.dir .. "/backup/dumps/*.dump); truncate -s -100 $f")
    code, words = cw(e.dir, "backup verify")
    assert.equal(1, code, words)
    assert.is_truthy(words:find("the repository is damaged: status: error", 1, true), words)
    assert.is_truthy(words:find("pg_restore failed", 1, true), words)
    assert.equal("3", e:sql("SELECT count(*) FROM job_runs WHERE name = 'backup.verify' AND status = 'failed'"))
    e:stop { "could not export the head" }
  end)

  it("runs as an ordinary user", function()
    if engine.run("test $(id -u) = 0") ~= 0 then return end
    local home = dir .. "/home"
    os.execute(string.format("mkdir %s && cp %s %s/chainwatch && cp -r migrations %s/ && chown -R nobody %s", home, engine.bin, home,
      home, home))
    local function as(args, expected)
      local code, words = engine.run(string.format("cd %s && setpriv --reuid=nobody --regid=nogroup --clear-groups env "
        .. "CHAINWATCH_DATA_DIR=%s/var ./chainwatch %s --set backup.enabled=true", home, home, args))
      assert.equal(expected or 0, code, words)
      return words
    end
    as("migrate up")
    as("backup verify --physical", 1)
    as("backup run --physical")
    as("backup verify --physical")
    local words = as("restore --yes --to latest")
    assert.is_truthy(words:find("rows public.schema_migrations=", 1, true), words)
    as("migrate status")
  end)

  it("keeps its repository on S3", function()
    local s3 = dir .. "/s3"
    os.execute("mkdir " .. s3)
    local code, words = engine.run(string.format("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
      .. "-subj /CN=127.0.0.1 -keyout %s/key.pem -out %s/cert.pem", s3, s3))
    assert.equal(0, code, words)
    engine.write(s3 .. "/s3.js", string.format([[
      const S3rver = require(process.cwd() + "/tests/tools/node_modules/s3rver"), fs = require("fs");
      new S3rver({ port: 0, address: "127.0.0.1", silent: true, directory: %q, key: fs.readFileSync(%q), cert: fs.readFileSync(%q),
        configureBuckets: [{ name: "backups" }] }).run((err, at) => { if (err) throw err; fs.writeFileSync(%q, "" + at.port); });
    ]], s3 .. "/data", s3 .. "/key.pem", s3 .. "/cert.pem", s3 .. "/port"))
    os.execute(string.format("node %s/s3.js >%s/log 2>&1 & echo $! >%s/pid", s3, s3, s3))
    local port = engine.wait("the S3 server", 20, function() return tonumber(engine.read(s3 .. "/port") or "") end)
    local set = "--set backup.enabled=true --set backup.repo=s3://backups/chainwatch --set backup.s3_endpoint=127.0.0.1:" .. port
      .. " --set backup.s3_key=S3RVER --set backup.s3_key_secret=S3RVER --set backup.s3_uri_style=path --set backup.s3_verify_tls=false"
    local data = dir .. "/on-s3"
    ok(data, "migrate up", set)
    ok(data, "backup run --physical", set)
    ok(data, "backup verify --physical", set)
    assert.is_truthy(ok(data, "backup list", set):find("physical", 1, true))
    assert.is_nil(engine.read(data .. "/backup/repo/archive/chainwatch/archive.info"))
    -- what lies there is encrypted, and no secret stands where others can read
    code = engine.run("grep -rq CREATE " .. s3 .. "/data")
    assert.equal(1, code)
    local _, mode = engine.run("stat -c %a " .. data .. "/backup/pgbackrest.conf")
    assert.equal("600\n", mode)
    os.execute("kill $(cat " .. s3 .. "/pid)")
  end)

  it("dumps and restores a database elsewhere, with and without the engine", function()
    local pg = postgres.start()
    local url = pg:database("elsewhere")
    local function there(command)
      local code, words = engine.run(string.format("export TMPDIR=%s DATABASE_URL=%q CHAINWATCH_DATA_DIR=%s/elsewhere; %s", dir, url,
        dir, command))
      assert.equal(0, code, words)
      return words
    end
    there(engine.bin .. " migrate up")
    pg.sql(url, "INSERT INTO users (email) VALUES ('a@example.org')")
    there(engine.bin .. " backup run")
    there(engine.bin .. " backup verify")
    pg.sql(url, "DELETE FROM users")
    local dump = there(engine.bin .. " backup list"):match("(%S+%.dump)")
    there(engine.bin .. " restore --yes --to " .. dump)
    assert.equal("1", pg.sql(url, "SELECT count(*) FROM users"))
    there(engine.bin .. " restore --yes --confirm")
    local folder = dir .. "/scripts"
    dump = there("scripts/ops/backup.sh " .. folder):match("(%S+%.dump)")
    assert.is_truthy(there("scripts/ops/test_backup.sh " .. folder):find("ok: ", 1, true))
    pg.sql(url, "DROP TABLE labels")
    local words = there("scripts/ops/restore_database.sh --yes " .. dump)
    assert.is_true(tonumber(words:match("downtime ([%d.]+) s")) < 5, words)
    assert.equal("0", pg.sql(url, "SELECT count(*) FROM labels"))
    there("scripts/ops/restore_database.sh --yes --undo")
    assert.equal("", pg.sql(url, "SELECT to_regclass('labels')"))
    there("scripts/ops/restore_database.sh --yes --confirm")
    local code
    code, words = engine.run("sed -i s/users=1/users=2/ " .. folder .. "/*.txt; scripts/ops/test_backup.sh " .. folder)
    assert.equal(1, code, words)
    code, words = engine.run(string.format("DATABASE_URL=%q CHAINWATCH_DATA_DIR=%s/elsewhere %s restore --yes --to 2026-01-01T00:00:00Z",
      url, dir, engine.bin))
    assert.equal(2, code, words)
    assert.is_truthy(words:find("here only dumps (.dump) are", 1, true), words)
    pg:stop()
  end)

  it("refuses a data directory that PostgreSQL's user cannot reach", function()
    if engine.run("test $(id -u) = 0") ~= 0 then return end
    os.execute("mkdir -p " .. dir .. "/closed/in && chmod 700 " .. dir .. "/closed")
    local code, words = cw(dir .. "/closed/in", "backup run")
    assert.equal(2, code, words)
    assert.is_truthy(words:find("put general.data_dir elsewhere", 1, true), words)
  end)

  for _, case in ipairs {
    { "backup", "say run, list or verify" }, { "backup run --type weekly", '--type is full, incr or auto, not "weekly"' },
    { "backup run --physical", "physical backups need backup.enabled" }, { "restore", "say one of --to, --confirm and --undo" },
    { "restore --to x --undo", "say one of" }, { "restore --to yesterday", "needs backup.enabled" },
    { "restore --to /nowhere.dump", 'there is no dump "/nowhere.dump"' }, { "restore --undo", "nothing to undo" },
    { "restore --to yesterday --yes --set backup.enabled=true", '"yesterday" is neither a time' },
    { "backup list --set backup.enabled=true --set backup.repo=s3://x", "needs a bucket, backup.s3_endpoint" },
  } do
    it("refuses: " .. case[1], function()
      local code, words = cw(dir .. "/refused", case[1], " ")
      assert.equal(2, code, words)
      assert.is_truthy(words:find(case[2], 1, true), words)
    end)
  end
end)
