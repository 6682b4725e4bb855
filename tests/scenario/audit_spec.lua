--- The audit chain: whatever is done to it, `chainwatch audit verify` names the first bad entry.

local engine = require "tests.support.engine"
local cjson = require "cjson"

describe("audit", function()
  local e
  --- As a thief with all rights in the database would: no trigger runs.
  local function tamper(sql) e:sql("SET session_replication_role = replica; " .. sql) end
  local function verify(more)
    local code, text = engine.run(string.format("%s audit verify --json --set general.data_dir=%s %s", engine.bin, e.dir,
      more or "--heads " .. e.dir .. "/kept.heads"))
    local ok, report = pcall(cjson.decode, text:match("{.*}"))
    assert(ok, text)
    return code, report
  end
  local function restore()
    tamper("DELETE FROM audit_logs; INSERT INTO audit_logs OVERRIDING SYSTEM VALUE SELECT * FROM keep_logs; "
      .. "DELETE FROM audit_head; INSERT INTO audit_head SELECT * FROM keep_head")
  end

  setup(function()
    local dir = engine.tmpdir()
    local config = dir .. "/chainwatch.lua"
    os.execute("mkdir " .. dir .. "/rules && cp rules/fan_out.lua " .. dir .. "/rules")      -- the reload is quick
    engine.write(config, "return { audit = { export_s = 0 } }\n")
    e = engine.start { dir = dir, env = "CHAINWATCH_CONFIG=" .. config, sets = { "rules.dir=" .. dir .. "/rules" } }
    e.owns = true
    -- the migrations have been noted; the drills count from 1
    assert.is_true(tonumber(e:sql("SELECT count(*) FROM audit_logs WHERE event_type = 'schema.migrate'")) >= 6)
    assert.equal(0, (verify ""))
    tamper "TRUNCATE audit_logs; UPDATE audit_head SET seq = 0, hash = decode(repeat('00', 32), 'hex')"
    engine.write(config, "return { audit = { export_s = 1 } }\n")
    e:kill "HUP"
    engine.wait("entry 1, the reload", 20, function() return e:sql("SELECT count(*) FROM audit_logs") == "1" end)
    for i = 2, 20 do
      e:sql("INSERT INTO audit_logs (event_type, details, user_id, ip_address, request_id) VALUES ('test', "
        .. "'{\"n\" :   " .. i .. ", \"text\": \"\xc3\xa4\"}', 1, '10.0.0." .. i .. "', NULL)")
    end
    engine.wait("a signed head of entry 20", 10, function()
      return (engine.read(e.dir .. "/audit.heads") or ""):find('"seq":20,', 1, true)
    end)
    for i = 21, 30 do e:sql("INSERT INTO audit_logs (event_type, details) VALUES ('test', '{\"n\":" .. i .. "}')") end
    engine.wait("a signed head of entry 30", 10, function()
      return (engine.read(e.dir .. "/audit.heads") or ""):find('"seq":30,', 1, true)
    end)
    -- A copy, as it would be kept elsewhere: the engine goes on exporting what the drills leave behind.
    engine.write(e.dir .. "/kept.heads", engine.read(e.dir .. "/audit.heads"))
    e:sql("CREATE TABLE keep_logs AS TABLE audit_logs; CREATE TABLE keep_head AS TABLE audit_head")
  end)
  teardown(function() e:stop { "could not export the head" } end)

  it("is good as it is", function()
    local code, report = verify()
    assert.equal(0, code, report.bad)
    assert.is_true(report.good)
    assert.equal(30, report.entries)
    assert.equal(30, report.head.seq)
    assert.is_true(report.heads_compared >= 2)
  end)

  it("is append-only for everybody who goes by the rules", function()
    for _, sql in ipairs { "UPDATE audit_logs SET status = 'x'", "DELETE FROM audit_logs", "TRUNCATE audit_logs" } do
      local ok, message = pcall(function() e:sql(sql) end)
      assert.is_false(ok)
      assert.is_truthy(tostring(message):find("append-only", 1, true), tostring(message))
    end
  end)

  it("does not take hashes and numbers that are given", function()
    e:sql("INSERT INTO audit_logs (event_type, seq, hash, previous_hash) VALUES ('test', 7, '\\x00', '\\x00')")
    assert.equal("31", e:sql("SELECT seq FROM audit_logs ORDER BY seq DESC LIMIT 1"))
    assert.equal(0, (verify()))
    restore()
  end)

  --- What is done, the entry that is named, a word of the reason.
  local drills = {
    { "a changed entry", "UPDATE audit_logs SET status = 'failure' WHERE seq = 12", 12, "changed" },
    { "changed details, the same as JSON", "UPDATE audit_logs SET details = '{\"n\":12,\"text\":\"\xc3\xa4\"}' WHERE seq = 12",
      12, "changed" },
    { "a changed time", "UPDATE audit_logs SET timestamp = timestamp + interval '1 microsecond' WHERE seq = 5", 5, "changed" },
    { "a changed user", "UPDATE audit_logs SET user_id = NULL WHERE seq = 5", 5, "changed" },
    { "text moved from one field to the next",
      "UPDATE audit_logs SET resource = 'a', action = 'bc' WHERE seq = 3", 3, "changed" },
    { "a deleted entry", "DELETE FROM audit_logs WHERE seq = 9", 9, "missing" },
    { "a deleted first entry", "DELETE FROM audit_logs WHERE seq = 1", 1, "missing" },
    { "a deleted last entry", "DELETE FROM audit_logs WHERE seq = 30", 30, "missing" },
    { "an entry put in", "INSERT INTO audit_logs (event_type, seq, previous_hash, hash) SELECT 'forged', 15, previous_hash, "
      .. "sha256('x') FROM audit_logs WHERE seq = 15", 15, "twice" },
    { "an entry put behind the end", "INSERT INTO audit_logs (event_type, seq, previous_hash, hash) SELECT 'forged', 31, hash, "
      .. "sha256('x') FROM audit_logs WHERE seq = 30", 31, "changed" },
    { "two entries swapped", "UPDATE audit_logs SET seq = 37 - seq WHERE seq IN (18, 19)", 18, "changed" },
    { "contents of two entries swapped", "UPDATE audit_logs a SET details = b.details FROM audit_logs b "
      .. "WHERE (a.seq, b.seq) IN ((18, 19), (19, 18))", 18, "changed" },
    { "the tail cut off", "DELETE FROM audit_logs WHERE seq > 25", 26, "missing at the end" },
    { "the tail cut off, the head set back", "DELETE FROM audit_logs WHERE seq > 25; UPDATE audit_head SET seq = 25, hash = "
      .. "(SELECT hash FROM audit_logs WHERE seq = 25)", 26, "cut off" },
    { "everything gone", "TRUNCATE audit_logs", 1, "missing" },
    { "everything gone, the head too", "TRUNCATE audit_logs; UPDATE audit_head SET seq = 0, hash = decode(repeat('00', 32), 'hex')",
      1, "cut off" },
    { "everything gone, as if by retention", "TRUNCATE audit_logs; UPDATE audit_head SET anchor_seq = seq, anchor_hash = hash",
      0, "no entry says" },
    { "the beginning gone, as if by retention", "DELETE FROM audit_logs WHERE seq <= 10; UPDATE audit_head SET anchor_seq = 10, "
      .. "anchor_hash = (SELECT previous_hash FROM audit_logs WHERE seq = 11)", 0, "no entry says" },
    { "one entry with a hash made for it", "UPDATE audit_logs SET status = 'x', hash = sha256('x') WHERE seq = 14", 14, "changed" },
    { "a head of another chain", "UPDATE audit_head SET hash = sha256('x')", 30, "head is not" },
  }
  for _, drill in ipairs(drills) do
    it("finds " .. drill[1], function()
      finally(restore)
      tamper(drill[2])
      local code, report = verify()
      assert.equal(1, code)
      assert.is_false(report.good)
      assert.equal(drill[3], report.bad.seq, report.bad.why)
      assert.is_truthy(report.bad.why:find(drill[4], 1, true), report.bad.why)
    end)
  end

  --- The trigger makes the new chain: perfect in itself.
  local function write_anew(from)
    tamper("CREATE TEMP TABLE again AS SELECT * FROM audit_logs WHERE seq >= " .. from .. "; DELETE FROM audit_logs WHERE seq >= "
      .. from .. "; UPDATE audit_head SET seq = " .. (from - 1) .. ", hash = (SELECT previous_hash FROM again WHERE seq = " .. from
      .. "); UPDATE again SET status = 'rewritten' WHERE seq = " .. from .. "; SET session_replication_role = origin; "
      .. "INSERT INTO audit_logs (id, event_type, user_id, api_key_id, resource, action, status, ip_address, user_agent, details, "
      .. "severity, timestamp, request_id) OVERRIDING SYSTEM VALUE SELECT id, event_type, user_id, api_key_id, resource, action, "
      .. "status, ip_address, user_agent, details, severity, timestamp, request_id FROM again ORDER BY seq")
  end

  it("finds a chain written anew from the middle, by the signed heads", function()
    finally(restore)
    write_anew(8)
    local code, report = verify()
    assert.equal(1, code)
    local first
    for line in engine.read(e.dir .. "/kept.heads"):gmatch("[^\n]+") do
      local seq = cjson.decode(line).seq
      if seq >= 8 and (not first or seq < first) then first = seq end
    end
    assert.equal(first, report.bad.seq, report.bad.why)
    assert.is_truthy(report.bad.why:find("written anew", 1, true))
    write_anew(1)
    code, report = verify()
    assert.equal(1, code)
    assert.is_truthy(report.bad.why:find("written anew", 1, true))
  end)

  it("finds heads that were changed, taken out, or signed by another key", function()
    local path = e.dir .. "/other.heads"
    local heads = engine.read(e.dir .. "/kept.heads")
    engine.write(path, (heads:gsub('"seq":20,', '"seq":21,')))
    local code, report = verify("--heads " .. path)
    assert.equal(1, code)
    assert.is_truthy(report.bad.why:find("signature", 1, true), report.bad.why)
    local lines = {}
    for line in heads:gmatch("[^\n]+\n") do lines[#lines + 1] = line end
    table.remove(lines, 2)
    if #lines >= 2 then
      engine.write(path, table.concat(lines))
      code, report = verify("--heads " .. path)
      assert.equal(1, code)
      assert.is_truthy(report.bad.why:find("missing", 1, true), report.bad.why)
    end
    code, report = verify("--public-key " .. ("A"):rep(43))
    assert.equal(1, code)
    assert.is_false(report.good)
    engine.write(path, heads .. heads:sub(1, 40))      -- a line that a crash cut off
    assert.equal(0, (verify("--heads " .. path)))
  end)

  it("begins behind what retention deleted, and says so", function()
    finally(restore)
    e:sql("BEGIN; SET LOCAL chainwatch.audit_retention = on; DELETE FROM audit_logs WHERE seq <= 10; SELECT audit_anchor(); COMMIT")
    local code, report = verify()
    assert.is_true(report.good)
    assert.equal(0, code)
    assert.equal(10, report.anchor)
    assert.equal("10", e:sql("SELECT details->>'seq' FROM audit_logs WHERE event_type = 'audit.anchor'"))
  end)

  it("signs the head of the moment for keeping elsewhere", function()
    local code, line = engine.run(engine.bin .. " audit head --set general.data_dir=" .. e.dir)
    assert.equal(0, code, line)
    local head = cjson.decode(line)
    assert.equal(30, head.seq)
    assert.equal(43, #head.key)
  end)

  it("says how a log looks that was restored, and how to go on", function()
    finally(restore)
    tamper("DELETE FROM audit_logs WHERE seq > 24; UPDATE audit_head SET seq = 24, hash = "
      .. "(SELECT hash FROM audit_logs WHERE seq = 24)")
    e:sql("INSERT INTO audit_logs (event_type, resource, action, severity) VALUES ('database.restore', 'database', "
      .. "'restore', 'critical')")
    local code, report = verify()
    assert.equal(1, code)
    assert.is_true(report.chain_good)
    assert.is_true(report.agreed >= 20 and report.agreed <= 24, tostring(report.agreed))
    assert.equal(25, report.restored)
    assert.is_truthy(report.bad.why:find("restored from a backup", 1, true), report.bad.why)
    local text
    code, text = engine.run(engine.bin .. " audit verify --set general.data_dir=" .. e.dir .. " --heads " .. e.dir
      .. "/kept.heads")
    assert.equal(1, code)
    assert.is_truthy(text:find("up to entry 2", 1, true), text)
    assert.is_truthy(text:find("Entry 25 says that the database was restored, 20", 1, true), text)
    assert.is_truthy(text:find("keep audit.heads", 1, true), text)
  end)

  it("is an entry or an act, never one without the other", function()
    local before = tonumber(e:sql("SELECT max(seq) FROM audit_logs"))
    assert.equal(201, (e:post("/api/v1/users", { email = "both@example.com", password = "a long enough phrase" })))
    assert.equal(409, (e:post("/api/v1/users", { email = "both@example.com", password = "a long enough phrase" })))
    assert.equal("1", e:sql("SELECT count(*) FROM audit_logs WHERE seq > " .. before .. " AND event_type = 'user.create'"))
    e:sql("ALTER TABLE audit_head RENAME TO audit_head_away")
    local status = e:post("/api/v1/users", { email = "none@example.com", password = "a long enough phrase" })
    e:sql("ALTER TABLE audit_head_away RENAME TO audit_head")
    assert.is_true(status >= 500)
    assert.equal("0", e:sql("SELECT count(*) FROM users WHERE email = 'none@example.com'"))
    assert.equal(0, (verify()))
  end)

  it("is listed and counted over HTTP, for admins", function()
    local status, page = e:get("/api/v1/audit-logs?event_type=user.&limit=5")
    assert.equal(200, status)
    assert.equal("user.create", page.items[1].event_type)
    assert.equal("127.0.0.1", page.items[1].ip_address)
    assert.equal(64, #page.items[1].hash:sub(3))
    local _, groups = e:get("/api/v1/audit-logs/statistics?since=2020-01-01T00:00:00Z")
    assert.is_true(#groups.items >= 2)
    assert.equal(200, (e:get("/api/v1/audit-logs/" .. page.items[1].id)))
    assert.equal(404, (e:get("/api/v1/audit-logs/999999")))
    assert.equal(400, (e:get("/api/v1/audit-logs?severity=loud")))
    local code, text = engine.run(engine.bin .. " audit list --type user. --set general.data_dir=" .. e.dir)
    assert.equal(0, code)
    assert.is_truthy(text:find("user.create", 1, true), text)
  end)
end)

describe("audit, at the end", function()
  it("signs all that was noted, refusals too, and after so many entries in between", function()
    local e = engine.start { sets = { "audit.export_s=3600", "audit.export_rows=50" } }
    local function signed()
      local last
      for line in (engine.read(e.dir .. "/audit.heads") or ""):gmatch("[^\n]+") do last = cjson.decode(line).seq end
      return last or 0
    end
    engine.wait("the first head", 10, function() return signed() > 0 end)
    local first = signed()
    e:sql("INSERT INTO audit_logs (event_type) SELECT 'test' FROM generate_series(1, 60)")
    engine.wait("the next head", 10, function() return signed() >= first + 60 end)
    local before = signed()
    assert.equal(201, (e:post("/api/v1/users", { email = "late@example.com", password = "a long enough phrase" })))
    assert.equal(401, (e:get("/api/v1/users", { ["X-API-Key"] = "cw_live_" .. ("A"):rep(36) })))
    e.owns = false
    e:stop()
    e.owns = true
    assert.is_true(signed() >= before + 2)
    local code, text = engine.run(engine.bin .. " audit list --json --set general.data_dir=" .. e.dir)
    assert.equal(0, code, text)
    assert.is_truthy(text:find("access.unauthenticated", 1, true), text)
    code, text = engine.run(engine.bin .. " audit verify --set general.data_dir=" .. e.dir)
    assert.equal(0, code, text)
    e:remove()
  end)
end)

describe("audit, with a role of its own for the engine", function()
  it("logs, and cannot touch what was logged", function()
    local _, text = engine.run("tests/support/pg.sh start")
    local dir = text:match("PGTEST_DIR=(%S+)")
    finally(function() engine.run("tests/support/pg.sh stop " .. dir) end)
    local function url(role) return "postgresql://" .. role .. "@/chainwatch?host=" .. dir end
    local code, words = engine.run("DATABASE_URL='" .. url "chainwatch" .. "' " .. engine.bin .. " migrate up")
    assert.equal(0, code, words)
    engine.write(dir .. "/grants.sql", engine.read("docs/OPERATIONS.md"):match("```sql\n(CREATE ROLE chainwatch_engine.-)```"))
    code, words = engine.run("psql -X -q -v ON_ERROR_STOP=1 '" .. url "chainwatch" .. "' -f " .. dir .. "/grants.sql")
    assert.equal(0, code, words)
    local e = engine.start { env = "DATABASE_URL='" .. url "chainwatch_engine" .. "'", sets = { "database.migrate=false" } }
    assert.equal(200, (e:post("/api/v1/predict", engine.tx())))
    assert.equal(201, (e:post("/api/v1/users", { email = "x@example.com", password = "a phrase of words" })))
    for _, sql in ipairs { "UPDATE audit_logs SET status = 'x'", "DELETE FROM audit_logs", "TRUNCATE audit_logs",
      "UPDATE audit_head SET seq = 0", "DELETE FROM partitions.audit_logs_default", "DROP TABLE audit_logs",
      "ALTER TABLE audit_logs DISABLE TRIGGER USER", "SET session_replication_role = replica",
      "CREATE FUNCTION audit_text(text, text) RETURNS text LANGUAGE sql AS $$ SELECT '' $$" } do
      engine.write(dir .. "/try.sql", sql .. ";\n")
      code, words = engine.run("psql -X -q -v ON_ERROR_STOP=1 '" .. url "chainwatch_engine" .. "' -f " .. dir .. "/try.sql")
      assert.not_equal(0, code, sql)
      assert.is_truthy(words:find("permission denied", 1, true) or words:find("must be owner", 1, true), words)
    end
    e:stop()
    -- a directory of its own: the usual one may have another engine's heads
    code, words = engine.run("CHAINWATCH_DATA_DIR=" .. dir .. " DATABASE_URL='" .. url "chainwatch" .. "' " .. engine.bin .. " audit verify")
    assert.equal(0, code, words)
  end)
end)
