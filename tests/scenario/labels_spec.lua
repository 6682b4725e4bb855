--- Address labels from file to alert and back: import, hot swap on two engines, what alerts rest on, what opens again, lists
--- that hide alerts, roles.

local engine = require "tests.support.engine"
local cjson = require "cjson"
local socket = require "socket"

local T0 = 1780000000
local X = "0x00000000000000000000000000000000000000"
local BAD, MIXER, SHOP, P, Q, R, S = X .. "01", X .. "02", X .. "03", X .. "d1", X .. "d2", X .. "d3", X .. "d4"

local RULE = [[
return rule {
  id = "test.robbed", version = "1.0.0", severity = "high", title = "Robbed", role = "victim",
  description = "The receiver is emptied: for a test of roles.",
  evaluate = function(tx)
    if tx.ether == 77 then return alert { score = 0.9, dedup = "case " .. tx.to, entity = tx.to } end
    if tx.ether == 78 then return alert { score = 0.9, dedup = tx.to, role = "counterparty" } end
  end,
  tests = {
    { name = "fires", given = tx { ether = 77 }, expect = "alert" },
    { name = "quiet", given = tx { ether = 1 }, expect = "quiet" },
  },
}
]]

describe("labels", function()
  local e, other, at = nil, nil, 0

  local function labels(...)
    local words = { ... }
    for i, w in ipairs(words) do words[i] = "'" .. w .. "'" end
    return engine.run(("CHAINWATCH_DATA_DIR=%s %s labels %s"):format(e.dir, engine.bin, table.concat(words, " ")))
  end

  local function file(name, text)
    engine.write(e.dir .. "/" .. name, text)
    return e.dir .. "/" .. name
  end

  --- The alerts of a transaction, by rule.
  local function send(on, from, to, with)
    at = at + 12
    local tx = engine.tx { from = from, to = to, timestamp = T0 + at }
    for k, v in pairs(with or {}) do tx[k] = v end
    local status, verdict = on:post("/api/v1/predict", tx)
    assert.equal(200, status)
    local by = {}
    for _, a in ipairs(verdict.alerts) do by[a.rule] = a end
    return by, verdict
  end

  local function live(on, list, version)
    engine.wait("version " .. version .. " of " .. list, 10, function()
      local found = send(on, on == e and P or Q, X .. "ee", { value = "0" })   -- any traffic; the log says what is live
      return found and tonumber(on:sql("SELECT version FROM label_lists WHERE list = '" .. list .. "'")) >= version
        and (engine.read(on.log):match(".*lists are live\" state=(%d+)") or "0") == on:sql("SELECT version FROM label_state")
    end)
  end

  local function anomaly(id)
    local status, row = e:get("/api/v1/anomalies/" .. id)
    assert.equal(200, status)
    return row
  end

  setup(function()
    local dir = engine.tmpdir()
    os.execute("mkdir " .. dir .. "/rules " .. dir .. "/lists; cp rules/listed_address.lua rules/exposure_mixer_deposit.lua "
      .. "rules/fan_out.lua " .. dir .. "/rules")
    engine.write(dir .. "/rules/robbed.lua", RULE)
    engine.write(dir .. "/lists/partners.csv", "# suppress side=entity rules=test.*\naddress,category\n" .. S .. ",exchange\n")
    local sets = { "rules.dir=" .. dir .. "/rules", "rules.lists=" .. dir .. "/lists", "rules.conf=/nowhere" }
    e = engine.start { sets = sets }
    e.extra = dir
    local url = engine.read(e.dir .. "/database.url"):gsub("%s+$", "")
    other = engine.start { sets = sets, env = "DATABASE_URL='" .. url .. "'" }
    engine.write(other.dir .. "/database.url", url)
  end)
  teardown(function()
    other:stop()
    e:stop()
    os.execute("rm -rf " .. e.extra)
  end)

  it("go live on every engine without a transaction lost, and alerts say what they rest on", function()
    local csv = file("l.csv", "name,address,category,confidence,source\r\n\"A, B\"," .. BAD .. ",sanctioned,0.9,desk\r\n"
      .. "Mix," .. MIXER .. ",mixer,,desk\r\n")
    assert.is_nil(next((send(e, P, BAD))))
    local code, words = labels("import", csv, "--list", "desk", "--dry-run")
    assert.equal(0, code, words)
    assert.is_truthy(words:find('list "desk" would be version 1: 2 added', 1, true), words)
    assert.equal("0", e:sql("SELECT count(*) FROM labels"))
    -- traffic goes on while the lists are swapped
    local before = tonumber(e:sql("SELECT count(*) FROM transactions"))
    local lines = {}
    for i = 1, 2000 do lines[i] = cjson.encode(engine.tx { from = X .. "ab", to = X .. "cd", timestamp = T0 + i }) end
    local path = file("flow.ndjson", table.concat(lines, "\n") .. "\n")
    os.execute(("CHAINWATCH_DATA_DIR=%s %s ingest %s >%s/flow.log 2>&1 &"):format(e.dir, engine.bin, path, e.dir))
    code, words = labels("import", csv, "--list", "desk")
    assert.equal(0, code, words)
    live(e, "desk", 1)
    engine.wait("the stream", 20, function()
      return tonumber(e:sql("SELECT count(*) FROM transactions WHERE from_address = '\\x" .. X:sub(3) .. "ab'")) == 2000
    end)
    assert.is_true(tonumber(e:sql("SELECT count(*) FROM transactions")) >= before + 2000)
    for _, on in ipairs { e, other } do
      live(on, "desk", 1)
      local a = send(on, on == e and P or Q, BAD)["eth.listed_address"]
      assert.equal("critical", a.severity)
      assert.equal(BAD, a.entity)
      assert.equal("counterparty", a.role)
      assert.equal(1, #a.labels)
      local l = a.labels[1]
      assert.same({ "desk", 1, BAD, "sanctioned", "A, B", "desk", "evidence" },
        { l.list, l.version, l.address, l.category, l.name, l.source, l.use })
      assert.equal("1", e:sql("SELECT version FROM anomaly_labels WHERE anomaly_id = " .. a.id))
    end
  end)

  it("that are taken away open exactly the alerts that rested on them", function()
    local a = send(e, R, BAD)["eth.listed_address"]
    local m = send(e, R, MIXER)
    local plain = send(e, R, X .. "f1", { value = "77" .. ("0"):rep(18) })["test.robbed"]
    for _, id in ipairs { a.id, m["eth.listed_address"].id, m["eth.mixer_deposit"].id, plain.id } do
      assert.equal(200, (e:post("/api/v1/anomalies/" .. id .. "/review", { false_positive = true, note = "seen" })))
    end
    local untouched = e:sql("SELECT string_agg(md5(a::text), ',' ORDER BY id) FROM anomalies a WHERE NOT EXISTS (SELECT FROM"
      .. " anomaly_labels l WHERE l.anomaly_id = a.id AND l.address = '\\x" .. BAD:sub(3) .. "')")
    local listener = assert(socket.tcp())
    listener:settimeout(10)
    assert(listener:connect("127.0.0.1", other.port))
    listener:send("GET /api/v1/anomalies/stream HTTP/1.1\r\nHost: x\r\nX-API-Key: " .. other.key .. "\r\n\r\n")
    repeat local line = assert(listener:receive("*l")) until line:find("retry")
    local status, v = e:post("/api/v1/labels/desk/remove", { address = BAD, reason = "another of that name" })
    assert.equal(200, status)
    assert.equal(2, v.version)
    assert.is_true(v.live)
    assert.equal(tonumber(e:sql("SELECT count(*) FROM label_withdrawals")), v.reopened)
    assert.equal(3, v.reopened)
    local row = anomaly(a.id)
    assert.same({ "open", false, cjson.null }, { row.status, row.reviewed, row.false_positive })
    assert.is_string(row.label_withdrawn_at)
    assert.equal(2, row.labels[1].withdrawn_version)
    assert.equal(untouched, e:sql("SELECT string_agg(md5(a::text), ',' ORDER BY id) FROM anomalies a WHERE label_withdrawn_at"
      .. " IS NULL"))
    assert.equal("dismissed", anomaly(m["eth.listed_address"].id).status)
    assert.equal("dismissed", anomaly(plain.id).status)
    assert.equal("dismissed", e:sql("SELECT details->>'previous_status' FROM audit_logs WHERE event_type = 'anomaly.reopen' AND"
      .. " resource = 'anomaly/" .. a.id .. "'"))
    assert.equal("3", e:sql("SELECT count(*) FROM audit_logs WHERE event_type = 'anomaly.reopen'"))
    assert.equal("1", e:sql("SELECT count(*) FROM audit_logs WHERE event_type = 'label.remove' AND user_id IS NOT NULL"))
    local _, page = e:get("/api/v1/labels/desk/withdrawals")
    assert.equal(3, #page.items)
    assert.equal(3, #(select(2, e:get("/api/v1/anomalies?label_withdrawn=true"))).items)
    -- the other engine tells its subscribers, and does not match any more
    local heard, text = 0, ""
    engine.wait("three events on the other engine", 10, function()
      listener:settimeout(0.1)
      local all, _, part = listener:receive(4096)
      text = text .. (all or part or "")
      heard = select(2, text:gsub("event: anomaly.label_withdrawn\n", ""))
      return heard == 3
    end)
    listener:close()
    assert.is_nil(send(e, S, BAD)["eth.listed_address"])
    live(other, "desk", 2)
    assert.is_nil(send(other, S, BAD)["eth.listed_address"])
  end)

  it("a new version without them does the same, and says nothing where nothing changes", function()
    local m = send(e, Q, MIXER)["eth.listed_address"]
    local csv = file("n.csv", "address,category\n" .. SHOP .. ",scam\n")
    local code, words = labels("import", csv, "--list", "desk", "--replace", "--json")
    assert.equal(0, code, words)
    local said = cjson.decode(words)
    assert.same({ 3, 1, 1 }, { said.version, said.added, said.removed })
    assert.is_true(said.reopened >= 2)
    assert.equal("open", anomaly(m.id).status)
    code, words = labels("import", csv, "--list", "desk", "--replace")
    assert.equal(0, code, words)
    assert.is_truthy(words:find("nothing changes", 1, true), words)
    assert.equal("3|import|1\n2|remove|1\n1|import|2", e:sql("SELECT version, action, entries FROM label_versions WHERE list ="
      .. " 'desk' ORDER BY version DESC"))
  end)

  it("a fire that was judged before its label went away is found all the same", function()
    local a = send(e, Q, SHOP) ["eth.listed_address"]
    if not a then live(e, "desk", 3) a = send(e, R, SHOP)["eth.listed_address"] end
    -- as a commit that comes late: the label is gone, the alert rests on it, and nobody has looked yet
    e:sql("BEGIN; ALTER TABLE labels DISABLE TRIGGER labels_changed; DELETE FROM labels WHERE list = 'desk'; UPDATE label_lists"
      .. " SET version = 4, updated_at = now() WHERE list = 'desk'; ALTER TABLE labels ENABLE TRIGGER labels_changed; COMMIT")
    engine.wait("the alert to be open again", 10, function() return anomaly(a.id).label_withdrawn_at ~= cjson.null end)
  end)

  it("expire by block time", function()
    local status, v = e:call("POST", "/api/v1/labels/short/import", "address,category,expires\n" .. MIXER .. ",mixer,"
      .. T0 + 500000 .. "\n", { ["Content-Type"] = "text/csv" })
    assert.equal(200, status)
    assert.is_true(v.version.live)
    assert.is_table(send(e, X .. "71", MIXER, { timestamp = T0 + 499999 })["eth.listed_address"])
    assert.is_nil(send(e, X .. "72", MIXER, { timestamp = T0 + 500000 })["eth.listed_address"])
    at = 500000
  end)

  it("hide alerts where their list says so, and never a sanction", function()
    local csv = "address,category,name\n" .. SHOP .. ",exchange,Shop\n" .. BAD .. ",exchange,Bad shop\n"
    assert.equal(200, (e:call("POST", "/api/v1/labels/allow/import", csv, { ["Content-Type"] = "text/csv" })))
    local status, v = e:call("POST", "/api/v1/labels/ofac/import?category=sanctioned", BAD, { ["Content-Type"] = "text/plain" })
    assert.equal(200, status)
    assert.equal(0, v.sanctioned_elsewhere - 1)   -- itself
    assert.equal(422, (e:post("/api/v1/labels/allow/suppress", { on = true })))
    assert.equal(404, (e:post("/api/v1/labels/none/suppress", { on = true, reason = "x" })))
    assert.equal(200, (e:post("/api/v1/labels/allow/suppress", { on = true, reason = "ours", rules = { "test.*", "eth.listed*" } })))
    local big = { value = "77" .. ("0"):rep(18) }
    local by, verdict = send(e, Q, SHOP, big)
    assert.is_nil(by["test.robbed"])
    assert.equal(1, verdict.suppressed)
    assert.is_false(verdict.is_anomaly)
    assert.equal("high|allow|2|suppression", e:sql("SELECT a.severity, s.list, l.version, l.use FROM anomalies a JOIN suppressions"
      .. " s ON s.id = a.suppressed_by JOIN anomaly_labels l ON l.anomaly_id = a.id"))
    local _, lists = e:get("/api/v1/labels")
    for _, l in ipairs(lists.items) do
      if l.list == "allow" then assert.equal(1, l.suppress.hidden) end
    end
    by = send(e, Q, BAD, big)                     -- under sanctions: told, whatever else it is on
    assert.is_table(by["test.robbed"])
    assert.equal("critical", by["eth.listed_address"].severity)
    -- a label that hid an alert and is withdrawn brings it to light
    local hidden = e:sql("SELECT id FROM anomalies WHERE suppressed_by IS NOT NULL")
    status, v = e:post("/api/v1/labels/allow/remove", { address = SHOP })
    assert.equal(200, status)
    assert.equal(1, v.reopened)
    assert.same({ cjson.null, "open" }, { anomaly(hidden).suppressed_by, anomaly(hidden).status })
    assert.is_table(send(e, R, SHOP, big)["test.robbed"])
    assert.equal(200, (e:post("/api/v1/labels/allow/suppress", { on = false })))
    assert.equal(404, (e:post("/api/v1/labels/allow/suppress", { on = false })))
  end)

  it("files of the folder hide too, by a line of their own", function()
    local _, verdict = send(e, Q, S, { value = "77" .. ("0"):rep(18) })
    assert.equal(1, verdict.suppressed)
    assert.equal("1", e:sql("SELECT hidden FROM suppressions WHERE list = 'partners' AND from_file AND ended_at IS NULL"))
    assert.equal("0|16", e:sql("SELECT version, length(file_checksum) FROM anomaly_labels WHERE list = 'partners'"))
    local id = e:sql("SELECT id FROM suppressions WHERE list = 'partners'")
    assert.equal(404, (e:post("/api/v1/suppressions/" .. id .. "/end")))
  end)

  it("an entry that leaves its file opens its alerts too, when the files are taken", function()
    local function put(...)
      engine.write(e.extra .. "/lists/seen.csv", "address,category\n" .. table.concat({ ... }, ",sanctioned\n") .. ",sanctioned\n")
      local status, answer = e:post("/api/v1/admin/reload", {})
      assert.equal(200, status, cjson.encode(answer))
    end
    local gone, kept = X .. "a1", X .. "a2"
    put(gone, kept)
    local by, other_one = send(e, P, gone), send(e, P, kept)
    assert.equal("seen", by["eth.listed_address"].labels[1].list)
    local id, stays = by["eth.listed_address"].id, other_one["eth.listed_address"].id
    e:sql("UPDATE anomalies SET status = 'confirmed', reviewed = true WHERE id IN (" .. id .. ", " .. stays .. ")")
    put(kept)
    engine.wait("the alert to be opened", 10, function() return anomaly(id).label_withdrawn_at ~= cjson.null end)
    assert.equal("open", anomaly(id).status)
    assert.same({ "confirmed", cjson.null }, { anomaly(stays).status, anomaly(stays).label_withdrawn_at })
    assert.equal("1", e:sql("SELECT count(*) FROM label_withdrawals WHERE list = 'seen'"))
    assert.equal("1", e:sql("SELECT count(*) FROM audit_logs WHERE event_type = 'anomaly.reopen' AND details ->> 'list' = 'seen'"
      .. " AND resource = 'anomaly/" .. id .. "'"))
  end)

  it("alerts say the role of their entity", function()
    local by = send(e, Q, X .. "91", { value = "77" .. ("0"):rep(18) })
    assert.same({ "victim", X .. "91" }, { by["test.robbed"].role, by["test.robbed"].entity })
    by = send(e, Q, X .. "92", { value = "78" .. ("0"):rep(18) })
    assert.same({ "counterparty", X .. "92" }, { by["test.robbed"].role, by["test.robbed"].entity })
    assert.equal(1, #(select(2, e:get("/api/v1/anomalies?role=victim&entity=" .. X .. "91"))).items)
  end)

  it("are refused with file, line and field", function()
    for text, want in pairs {
      ["address,category\n0x12,a\n"] = 'bad.csv:2: address: "0x12" is no address (0x and 40 hex digits)',
      ["address,confidence\n" .. P .. ",7\n"] = 'bad.csv:2: confidence: "7" is no number from 0 to 1',
      ["tags:\n- address: " .. P .. "\n"] = "bad.csv:2: label: is missing",
      ["nothing at all"] = "bad.csv:1: cannot tell what this is",
    } do
      local code, words = labels("import", file("bad.csv", text), "--list", "bad")
      assert.equal(2, code, words)
      assert.is_truthy(words:find(want, 1, true), words)
    end
    local code, words = labels("import", file("bad.csv", "address,category\n0x12,a\n" .. P .. ",b\n"), "--list", "bad", "--skip-bad")
    assert.equal(0, code, words)
    assert.is_truthy(words:find("bad.csv:2: address", 1, true), words)
    assert.equal("1", e:sql("SELECT count(*) FROM labels WHERE list = 'bad'"))
    for _, wrong in ipairs { { "import", "x" }, { "show" }, { "remove", "bad" }, { "remove", "bad", "0x1" }, { "frob" },
      { "import", "/nowhere", "--list", "x y" }, { "suppress", "bad" } } do
      code, words = labels(unpack(wrong))
      assert.equal(2, code, words)
    end
    code = labels("remove", "bad", Q)
    assert.equal(1, code)
    local status, problem = e:call("POST", "/api/v1/labels/x%20y/import", P, { ["Content-Type"] = "text/plain" })
    assert.same({ 422, "list_name" }, { status, problem.code })
  end)

  it("of a large list are read beside everything else", function()
    local lines = { "address,category,name" }
    for i = 1, 300000 do lines[#lines + 1] = string.format("0x%040x,scam,name of label %d", i, i) end
    lines[#lines + 1] = "0x12,scam,short"
    local body = table.concat(lines, "\n")
    local c = assert(socket.connect("127.0.0.1", e.port))
    c:settimeout(60 * engine.slow)
    assert(c:send(("POST /api/v1/labels/large/import HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-API-Key: %s\r\n"
      .. "Content-Type: text/csv\r\nContent-Length: %d\r\n\r\n"):format(e.key, #body)))
    assert(c:send(body))
    local began, worst = socket.gettime(), 0
    while #socket.select({ c }, nil, 0) == 0 do
      local asked = socket.gettime()
      assert.equal(200, (e:get "/health"))
      worst = math.max(worst, socket.gettime() - asked)
    end
    local took = socket.gettime() - began
    local status, answer = engine.parse((c:receive "*a"))
    c:close()
    assert.equal(422, status)
    assert.truthy(answer.detail:find("the body:300002: address", 1, true), answer.detail)
    assert.is_true(worst < took / 2, ("an answer took %.3f s of the %.3f s that a list of %d bytes was read"):format(worst, took, #body))
  end)

  it("are swapped while reloads come: those wait", function()
    for n = 1, 8 do
      local csv = "address,category\n" .. X .. ("%02x"):format(0xa0 + n) .. ",other\n"
      assert.equal(200, (e:call("POST", "/api/v1/labels/often/import?replace=true", csv, { ["Content-Type"] = "text/csv" })))
      local status, v = e:post("/api/v1/admin/reload", {})
      assert.equal(200, status, cjson.encode(v))
    end
    live(e, "often", 8)
    live(other, "often", 8)
  end)

  it("come from TagPacks and OFAC's list, and go out as a file that comes in again", function()
    local code, words = labels("import", file("pack.yaml", "title: T\ncreator: c\nsource: https://x\ncurrency: ETH\nconfidence: forensic\n"
      .. "tags:\n  - address: '" .. P .. "'\n    label: Thief\n    abuse: scam\n  - address: 1abc\n    currency: BTC\n    label: b\n"),
      "--list", "packs")
    assert.equal(0, code, words)
    assert.is_truthy(words:find("1 of networks that are no EVM chains", 1, true), words)
    code, words = labels("import", file("sdn.csv", '36,"X",-0- ,"Y",-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,-0- ,"Digital Currency Address - ETH '
      .. Q .. '; alt. Digital Currency Address - XBT 1abc."\n'), "--list", "packs")
    assert.equal(0, code, words)
    code, words = labels("export", "packs", "-o", e.dir .. "/out.csv")
    assert.equal(0, code, words)
    code, words = labels("import", e.dir .. "/out.csv", "--list", "again", "--json")
    assert.equal(0, code, words)
    assert.equal(e:sql("SELECT checksum FROM label_lists WHERE list = 'packs'"), cjson.decode(words).checksum)
    code, words = labels("show", "packs", "--json")
    assert.equal(0, code, words)
    assert.same({ "scam", "sanctioned" }, { cjson.decode(words)[1].category, cjson.decode(words)[2].category })
  end)

  it("are there after a restart", function()
    local dir = other.dir
    other.owns = false
    other:stop()
    other = engine.start { dir = dir, sets = { "rules.dir=" .. e.extra .. "/rules", "rules.lists=" .. e.extra .. "/lists",
      "rules.conf=/nowhere" }, env = "DATABASE_URL='" .. engine.read(dir .. "/database.url") .. "'" }
    other.owns = true
    local a = send(other, X .. "81", BAD)["eth.listed_address"]
    assert.same({ "ofac", 1 }, { a.labels[1].list, a.labels[1].version })
  end)
end)
