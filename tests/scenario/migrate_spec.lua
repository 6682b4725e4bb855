--- chainwatch migrate: every verb, what each says to wrong input, and dbmate on the same folder.

local engine = require "tests.support.engine"
local postgres = require "tests.support.postgres"
local cjson = require "cjson"

-- Scratch clusters in memory: a disk takes seconds for their thousand files.
local memory = "$(test -w /dev/shm && echo /dev/shm || echo /tmp)"
local dbmate = "tests/tools/node_modules/.bin/dbmate"

describe("migrate", function()
  local pg, dir
  setup(function()
    pg = postgres.start()
    dir = engine.tmpdir()
  end)
  teardown(function()
    pg:stop()
    os.execute("rm -rf " .. dir)
  end)

  local function migrate(url, args, input)
    -- scratch clusters in memory: a disk takes seconds for their thousand files
    return engine.run(string.format("TMPDIR=" .. memory .. " DATABASE_URL=%q %s migrate %s %s", url, engine.bin, args, input or "</dev/null"))
  end
  local function ok(url, args)
    local code, words = migrate(url, args)
    assert.equal(0, code, words)
    return words
  end
  local function refused(url, args, code, words)
    local rc, text = migrate(url, args)
    assert.equal(code, rc, text)
    assert.is_truthy(text:find(words, 1, true), text)
  end
  local function versions()
    local _, list = engine.run("ls migrations | sort")
    local found = {}
    for v in list:gmatch("(%d+)_[^\n]*%.sql\n") do found[#found + 1] = v end
    return found
  end
  --- A folder of migrations of its own: name = { up, down }.
  local function folder(name, files)
    local path = dir .. "/" .. name
    os.execute("rm -rf " .. path .. "; mkdir -p " .. path)
    for file, text in pairs(files) do
      engine.write(path .. "/" .. file .. ".sql", "-- migrate:up\n" .. text[1] .. "\n-- migrate:down\n" .. text[2] .. "\n")
    end
    return " --set database.migrations_dir=" .. path, path
  end

  it("goes down to zero and up again to the very same schema", function()
    local url, all = pg:database("round"), versions()
    ok(url, "up")
    local first = pg.dump(url)
    refused(url, "down --to 0", 2, "say --yes")
    assert.equal(first, pg.dump(url))
    ok(url, "down --to 0 --yes")
    assert.is_nil(pg.dump(url):find("CREATE", 1, true))
    ok(url, "goto " .. all[1])
    assert.equal("1", pg.sql(url, "SELECT count(*) FROM schema_migrations"))
    ok(url, "goto " .. all[#all] .. " --yes")
    assert.equal(first, pg.dump(url))
    refused(url, "goto 20000101000000", 2, 'there is no migration "20000101000000"')
    refused(url, "up --to 20000101000000", 1, 'there is no migration "20000101000000"')
    local history = cjson.decode(ok(url, "history --json"))
    assert.equal(3 * #all, #history)
    assert.equal("down", history[#all + 1].direction)
    assert.is_truthy(ok(url, "history"):find("up    " .. all[1], 1, true))
  end)

  it("prints SQL that psql runs, for any range in both directions", function()
    local url, all = pg:database("offline"), versions()
    local function psql(args)
      local code, words = engine.run(string.format("%s migrate sql %s | psql -X -q -d %q", engine.bin, args, url))
      assert.equal(0, code, words)
    end
    psql("--to " .. all[1])
    psql("--from " .. all[1])
    local whole = pg.dump(url)
    assert.equal(#all .. "", pg.sql(url, "SELECT count(*) FROM schema_migrations"))
    ok(url, "status")
    psql("--from " .. all[#all] .. " --to " .. all[1])
    assert.equal("1", pg.sql(url, "SELECT count(*) FROM schema_migrations"))
    psql("--from " .. all[1] .. " --to 0")
    assert.is_nil(pg.dump(url):find("CREATE", 1, true))
    ok(url, "up")
    assert.equal(whole, pg.dump(url))
    refused(url, "sql --from 1", 2, 'there is no migration "1"')
  end)

  it("is one directory for dbmate and for us", function()
    local url, all = pg:database("mate"), versions()
    local function mate(verb)
      local code, words = engine.run(string.format("%s --url 'postgresql://chainwatch@localhost/mate?socket=%s&sslmode=disable' "
        .. "--migrations-dir migrations --no-dump-schema %s", dbmate, pg.dir, verb))
      assert.equal(0, code, words)
      return words
    end
    mate("up")
    ok(url, "status")
    assert.is_truthy(ok(url, "up"):find("0 steps", 1, true))
    ok(url, "down --yes")
    assert.is_truthy(mate("status"):find("Pending: 1", 1, true))
    mate("up")
    mate("rollback")
    local code, words = migrate(url, "status")
    assert.equal(1, code)
    assert.is_truthy(words:find("pending  " .. all[#all], 1, true), words)
    ok(url, "up")
    local theirs = pg.dump(url)
    local ours = pg:database("ours")
    ok(ours, "up")
    assert.equal(pg.dump(ours), theirs)
  end)

  it("lets one of two migrators work while the other waits", function()
    local url = pg:database("two")
    local set = folder("two", { ["20260101000000_a"] = { "SELECT pg_sleep(1); CREATE TABLE a (x int);", "DROP TABLE a;" } })
    local code, words = engine.run(string.format("export DATABASE_URL=%q; (%s migrate up%s >%s/m1 2>&1; echo $? >>%s/m1) & "
      .. "%s migrate up%s >%s/m2 2>&1; echo $? >>%s/m2; wait", url, engine.bin, set, dir, dir,
      engine.bin, set, dir, dir))
    assert.equal(0, code, words)
    local done = engine.read(dir .. "/m1") .. engine.read(dir .. "/m2")
    local _, zeros = done:gsub("\n0\n", "")
    assert.equal(2, zeros, done)
    assert.is_truthy(done:find("1 step\n", 1, true), done)
    assert.is_truthy(done:find("0 steps\n", 1, true), done)
    assert.is_truthy(done:find("waiting for another migrator", 1, true), done)
  end)

  it("asks again for a lock that it does not get", function()
    local url = pg:database("locked")
    local set, path = folder("locked", { ["20260101000000_a"] = { "CREATE TABLE a (x int);", "DROP TABLE a;" } })
    ok(url, "up" .. set)
    engine.write(path .. "/20260102000000_b.sql", "-- migrate:up\nALTER TABLE a ADD COLUMN y int;\n-- migrate:down\n")
    -- held for 7 s: past one lock_timeout (5 s), short of the tries
    os.execute(string.format("psql -X -q -d %q -c 'BEGIN; LOCK TABLE a; SELECT pg_sleep(7); COMMIT' >/dev/null &", url))
    engine.wait("the lock", 5, function()
      return pg.sql(url, "SELECT count(*) FROM pg_locks WHERE relation = 'a'::regclass AND mode = 'AccessExclusiveLock'") == "1"
    end)
    local words = ok(url, "up" .. set)
    assert.is_truthy(words:find("a lock was not granted, trying again", 1, true), words)
    assert.is_truthy(words:find("1 step", 1, true), words)
  end)

  it("names what has drifted, and accepts it by a stamp", function()
    local url = pg:database("drift")
    local set, path = folder("drift", { ["20260101000000_a"] = { "CREATE TABLE a (x int);", "DROP TABLE a;" } })
    ok(url, "up" .. set)
    engine.write(path .. "/20260101000000_a.sql", "-- migrate:up\nCREATE TABLE a (x int );\n-- migrate:down\nDROP TABLE a;\n")
    local code, words = migrate(url, "status" .. set)
    assert.equal(1, code)
    assert.is_truthy(words:find("drifted  20260101000000_a", 1, true), words)
    refused(url, "verify" .. set, 1, "20260101000000_a.sql has changed since it was applied")
    refused(url, "stamp 20260101000000" .. set, 2, "say --yes")
    ok(url, "stamp 20260101000000 --yes" .. set)
    ok(url, "status" .. set)
    os.remove(path .. "/20260101000000_a.sql")
    refused(url, "verify" .. set, 1, "20260101000000_a is applied, but its file is missing")
    refused(url, "down --yes" .. set, 2, "its file is missing")
  end)

  it("stamps a database that has its schema already", function()
    local url = pg:database("stamped")
    local set = folder("stamped", {
      ["20260101000000_a"] = { "CREATE TABLE a (x int);", "DROP TABLE a;" },
      ["20260102000000_b"] = { "CREATE TABLE b (x int);", "DROP TABLE b;" },
      ["20260103000000_c"] = { "CREATE TABLE c (x int);", "DROP TABLE c;" } })
    pg.sql(url, "CREATE TABLE a (x int); CREATE TABLE b (x int)")
    ok(url, "stamp 20260102000000 --yes" .. set)
    assert.is_truthy(ok(url, "up" .. set):find("1 step\n", 1, true))
    refused(url, "stamp 20990101000000 --yes" .. set, 2, 'there is no migration "20990101000000"')
    refused(url, "stamp" .. set, 2, "stamp needs a version")
  end)

  it("tries steps dry", function()
    local url = pg:database("dry")
    assert.is_truthy(ok(url, "up --dry-run"):find("taken back (dry run)", 1, true))
    assert.equal("", pg.sql(url, "SELECT relname FROM pg_class WHERE relname = 'transactions'"))
    ok(url, "up")
    local before = pg.dump(url)
    ok(url, "down --to 0 --dry-run")
    assert.equal(before, pg.dump(url))
    local set = folder("outside", { ["20260101000000_a"] = { "", "" } })
    engine.write(dir .. "/outside/20260101000000_a.sql",
      "-- migrate:up transaction:false\nCREATE INDEX CONCURRENTLY i ON users (email);\n-- migrate:down\nDROP INDEX i;\n")
    refused(pg:database("dry2"), "up --dry-run" .. set, 2, "it runs outside a transaction, so it cannot be tried dry")
  end)

  it("generates the migration between two schemas", function()
    local url = pg:database("live")
    ok(url, "up")
    local code, words = migrate(url, "diff")
    assert.equal(0, code, words)
    pg.sql(url, [[ALTER TABLE users ADD COLUMN phone text DEFAULT 'none'; ALTER TYPE severity ADD VALUE 'extreme';
      CREATE INDEX users_phone_idx ON users (phone) WHERE phone <> 'none'; DROP INDEX api_keys_user_id_idx;
      ALTER TABLE models ADD CONSTRAINT models_name_check CHECK (name <> '')]])
    -- repair: live becomes what is declared; its reverse is the capture
    code, words = migrate(url, "diff --json")
    assert.equal(1, code, words)
    local diff = cjson.decode(words)
    assert.is_truthy(diff.up:find("DROP COLUMN phone", 1, true), diff.up)
    assert.is_truthy(diff.up:find("CREATE INDEX api_keys_user_id_idx", 1, true), diff.up)
    local _, copy = engine.run("cp -r migrations " .. dir .. "/folder; echo " .. dir .. "/folder")
    local set = " --set database.migrations_dir=" .. copy:gsub("%s+$", "")
    code, words = migrate(url, "diff --capture --write by_hand" .. set)
    assert.equal(1, code, words)
    local path = words:match("(%S+_by_hand%.sql)")
    assert.is_truthy(engine.read(path):find("ADD COLUMN phone text DEFAULT 'none'::text;", 1, true))
    -- the folder now declares what was made by hand
    assert.equal(0, (migrate(url, "diff" .. set)))
    -- and elsewhere it makes the same
    local other = pg:database("other")
    ok(other, "up" .. set)
    assert.equal(0, (migrate(other, string.format("diff --from live --to %q", url))))
    ok(other, "down --yes --steps 1" .. set)
    ok(url, "verify --offline" .. set)
    engine.write(dir .. "/wanted.sql", "CREATE TABLE t (id bigint PRIMARY KEY);")
    code, words = migrate(pg:database("bare"), "diff --to " .. dir .. "/wanted.sql")
    assert.equal(1, code, words)
    assert.is_truthy(words:find("CREATE TABLE public.t (\n\tid bigint NOT NULL\n);", 1, true), words)
    refused(url, "diff --from nonsense", 2, "neither live, declared")
    refused(url, "diff --from " .. dir .. "/nowhere.sql", 2, "nowhere.sql")
  end)

  it("agrees with migra on what differs", function()
    local url, wanted = pg:database("ours_left"), pg:database("ours_right")
    pg.sql(url, "CREATE TYPE k AS ENUM ('a'); CREATE TABLE t (id int PRIMARY KEY, v text)")
    pg.sql(wanted, [[CREATE TYPE k AS ENUM ('a', 'b'); CREATE TABLE t (id bigint PRIMARY KEY, v text NOT NULL DEFAULT 'x', k k);
      CREATE INDEX t_v ON t (v); CREATE TABLE u (t bigint REFERENCES t, CHECK (t > 0))]])
    local code, words = migrate(url, string.format("diff --json --to %q", wanted))
    assert.equal(1, code, words)
    pg.sql(url, cjson.decode(words).up)
    code, words = engine.run(string.format("tests/tools/node_modules/.bin/migra %q %q --unsafe",
      "postgresql://chainwatch@localhost/ours_left?host=" .. pg.dir, "postgresql://chainwatch@localhost/ours_right?host=" .. pg.dir))
    assert.equal("", (words:gsub("%s", "")))
    assert.equal(0, code)
  end)

  it("verifies that each step is undone by its own down", function()
    local url = pg:database("verified")
    ok(url, "up")
    local words = ok(url, "verify")
    assert.is_nil(words:find("WRONG", 1, true), words)
    local set = folder("lopsided", { ["20260101000000_a"] = { "CREATE TABLE a (x int); CREATE TYPE t AS ENUM ('x');",
      "DROP TABLE a;" } })
    refused(url, "verify --offline" .. set, 1, "20260101000000_a.sql: after up and down, the schema is not what it was:\n+ enum public.t")
  end)

  it("writes a new file that is later than all", function()
    local set, path = folder("new", { ["20991231235959_far"] = { "SELECT 1;", "SELECT 1;" } })
    local words = ok(pg:url("postgres"), "new add_things" .. set)
    assert.equal(path .. "/21000101000000_add_things.sql\n", words)
    assert.is_truthy(engine.read(path .. "/21000101000000_add_things.sql"):find("^%-%- migrate:up\n"))
    refused(pg:url("postgres"), "new 'bad name'" .. set, 2, "' ' is not allowed in the name of a migration")
    refused(pg:url("postgres"), "new" .. set, 2, "new needs a name")
  end)

  it("does not serve while a migration is pending, unless told to apply it", function()
    local url = pg:database("serve")
    local code, words = engine.run(string.format("DATABASE_URL=%q timeout 60 %s serve --listen 127.0.0.1:0 --data-dir %s/serve "
      .. "--set database.migrate=false", url, engine.bin, dir))
    assert.equal(2, code, words)
    assert.is_truthy(words:find('pending: run "chainwatch migrate up"', 1, true), words)
    local e = engine.start { env = string.format("DATABASE_URL=%q", url), sets = { "database.migrate=false" }, wait = false,
      flags = "--migrate" }
    engine.wait("the engine", 60, function() return (engine.read(e.log) or ""):find("listening", 1, true) end)
    e:stop()
    ok(url, "status")
  end)
end)
