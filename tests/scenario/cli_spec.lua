--- The command line: every verb's good case, and what each says to wrong input.

local engine = require "tests.support.engine"
local cjson = require "cjson"

local function cw(args, env) return engine.run((env or "") .. " " .. engine.bin .. " " .. args) end

describe("command line", function()
  local e, dir
  setup(function()
    e = engine.start()
    dir = engine.tmpdir()
  end)
  teardown(function()
    e:stop()
    os.execute("rm -rf " .. dir)
  end)

  local function here(args) return cw(args, "CHAINWATCH_DATA_DIR=" .. e.dir) end

  it("helps with every verb", function()
    local code, text = cw("help")
    assert.equal(0, code)
    for verb in text:gmatch("\n  (%l+) ") do
      local rc, words = cw(verb .. " --help")
      assert.equal(0, rc, verb)
      assert.is_truthy(words:find("usage: chainwatch " .. verb, 1, true), words)
    end
  end)

  for _, case in ipairs {
    { "", 2, "usage:" }, { "frobnicate", 2, 'unknown verb "frobnicate"' }, { "serve --nothing", 2, 'unknown option "--nothing"' },
    { "serve --set x", 2, "--set takes SECTION.KEY=VALUE" }, { "serve --set http.listn=1", 2, 'unknown setting "http.listn"' },
    { "serve extra", 2, "takes no operand" }, { "ingest", 2, "no file given" }, { "ingest --batch 0 x", 2, "--batch must be" },
    { "migrate sideways", 2, "say new, up, down, goto" }, { "rules", 2, "usage: chainwatch rules VERB" },
    { "rules lits", 2, "did you mean" }, { "rules lint /nowhere.lua", 2, "/nowhere.lua" }, { "rules new x", 2, "must be words of a-z" },
    { "simulate --blocks x", 2, "--blocks" }, { "simulate --scenario nonsense --blocks 1", 2, "nonsense" },
    { "detect", 2, "say what to score: series or table" }, { "detect table", 2, "one file is needed" },
    { "detect table --method magic x.csv", 2, 'unknown method "magic"' }, { "detect series /nowhere.csv", 2, 'could not open "/nowhere.csv"' },
    { "check -c /nowhere.lua", 2, 'could not open "/nowhere.lua"' },
  } do
    it("refuses: chainwatch " .. case[1], function()
      local code, text = cw(case[1])
      assert.equal(case[2], code, text)
      assert.is_truthy(text:find(case[3], 1, true), text)
    end)
  end

  it("says what is wrong with a file to score, and where", function()
    for _, case in ipairs {
      { "series", "timestamp,value\n" .. ("2"):rep(60) .. ",1\n", ':2: "' .. ("2"):rep(60) .. '" is not a time' },
      { "series", "timestamp,value\n2026-01-01T00:00:00Z" .. (" "):rep(40) .. "x,1\n", "is not a time" },
      { "series", "timestamp,value\n1,1\n2,1\0,5\n", ":3: a NUL in the line" }, { "series", "time,value\n1,1\n", ':1: the header must name' },
      { "series", "timestamp,value\n1,nan\n", ':2: "nan" is not a number' }, { "table", "a,b\n1,2\n3\n", ":3: 1 cells where the header has 2" },
      { "table", "a,b\n1,0x10\n", ':2: "0x10" is not a number' }, { "table", "a,b\n1,1e999\n", ':2: "1e999" is not a number' },
      { "table", "label\n1\n", "names no column but the label" }, { "table", "", "the file is empty" }, { "table", "a,b\n", "no rows" },
      { "table", "a,b\n1," .. ("1"):rep(2 ^ 20) .. "\n", ":2: the line is longer than 1 MiB" },
    } do
      engine.write(dir .. "/in.csv", case[2])
      local code, text = cw("detect " .. case[1] .. " " .. dir .. "/in.csv")
      assert.equal(2, code, text)
      assert.is_truthy(text:find(case[3], 1, true), text)
    end
  end)

  it("runs a file in the sandbox", function()
    engine.write(dir .. "/a.lua", "local t = { 1, 2 } return 1 + 1, 'x', t")
    local code, text = cw("lua run " .. dir .. "/a.lua")
    assert.equal(0, code, text)
    assert.equal("2\nx\n[1,2]\n", text)
    for body, words in pairs { ["return os.time()"] = "os", ["while true do end"] = "stopped",
      ["error('on purpose')"] = "a.lua:1: on purpose", ["return ("] = "a.lua:1:" } do
      engine.write(dir .. "/a.lua", body)
      for _, world in ipairs { "rules", "scripts" } do
        code, text = cw("lua run --world " .. world .. " " .. dir .. "/a.lua")
        assert.equal(1, code, body)
        assert.is_truthy(text:find(words, 1, true), text)
      end
    end
  end)

  it("tells its versions", function()
    local code, text = cw("version --json")
    assert.equal(0, code)
    local v = cjson.decode(text)
    assert.is_truthy(v.luajit:find("LuaJIT 2.1", 1, true))
    assert.is_string(v.libpq)
  end)

  it("checks the shipped settings, migrations, rules and scripts", function()
    local code, text = cw("check")
    assert.equal(0, code, text)
    code, text = cw("check --settings")
    assert.equal(0, code)
    assert.equal(20, cjson.decode(text).database.pool_size)
  end)

  it("tests the rules that are shipped", function()
    local code, text = cw("rules test")
    assert.equal(0, code, text)
  end)

  it("names a broken rule without an engine", function()
    os.execute("mkdir -p " .. dir .. "/rules")
    engine.write(dir .. "/rules/x.lua", "return rule { id = 'a.b' }")
    local code, text = cw("rules test --set rules.dir=" .. dir .. "/rules")
    assert.equal(1, code)
    assert.is_truthy(text:find("rules/x.lua", 1, true), text)
    code = cw("check --set rules.dir=" .. dir .. "/rules")
    assert.equal(2, code)
  end)

  it("simulates the same stream for the same seed", function()
    local one, two, other = dir .. "/1", dir .. "/2", dir .. "/3"
    assert.equal(0, (cw("simulate --seed 3 --blocks 200 --scenario all --out " .. one)))
    assert.equal(0, (cw("simulate --seed 3 --blocks 200 --scenario all --out " .. two)))
    assert.equal(0, (cw("simulate --seed 4 --blocks 200 --scenario all --out " .. other)))
    assert.equal(engine.read(one), engine.read(two))
    assert.are_not.equal(engine.read(one), engine.read(other))
  end)

  it("ingests NDJSON, gzip, CSV and standard input; the second time all is known", function()
    local file = dir .. "/stream.ndjson"
    assert.equal(0, (cw("simulate --seed 5 --blocks 60 --scenario none --out " .. file)))
    -- Several requests, and still judged in the order of the file.
    local code, text = here("ingest --json --batch 700 " .. file)
    assert.equal(0, code, text)
    local result, hashes = cjson.decode(text), {}
    assert.is_true(result.new > 5000)
    for hash in engine.read(file):gmatch '"hash":"0x(%x+)"' do hashes[#hashes + 1] = hash end
    assert.equal(table.concat(hashes, "\n"), e:sql "SELECT encode(hash, 'hex') FROM transactions ORDER BY id")
    os.execute("gzip -k " .. file)
    result = cjson.decode(select(2, here("ingest --json " .. file .. ".gz")))
    assert.equal(0, result.new)
    result = cjson.decode(select(2, engine.run("cat " .. file .. " | CHAINWATCH_DATA_DIR=" .. e.dir .. " " .. engine.bin
      .. " ingest --json -")))
    assert.equal(0, result.new)
    engine.write(dir .. "/rows.csv", "hash,block_number,block_timestamp,from_address,to_address,value,gas,gas_price,nonce\n"
      .. "0x" .. ("c"):rep(64) .. ",1,1700000000," .. "0x" .. ("a"):rep(40) .. ",,12345678901234567890123,21000,7,0\n")
    result = cjson.decode(select(2, here("ingest --json " .. dir .. "/rows.csv")))
    assert.equal(1, result.new)
    assert.equal("12345678901234567890123", e:sql("SELECT value FROM transactions WHERE hash = '\\x" .. ("c"):rep(64) .. "'"))
  end)

  it("joins what ethereum-etl exports: transactions, receipts, logs", function()
    local one, two, token = "0x" .. ("d"):rep(64), "0x" .. ("e"):rep(64), "0x" .. ("7"):rep(40)
    local function write(name, lines) engine.write(dir .. "/" .. name, "\239\187\191" .. table.concat(lines, "\r\n") .. "\r\n") end
    write("transactions.csv", {
      "hash,nonce,block_hash,block_number,transaction_index,from_address,to_address,value,gas,gas_price,input,block_timestamp,"
        .. "max_fee_per_gas,max_priority_fee_per_gas,transaction_type",
      one .. ",1,0x" .. ("b"):rep(64) .. ",7,0,0x" .. ("a"):rep(40) .. "," .. token .. ",0,60000,9,0xa9059cbb,1700000001,,,0",
      two .. ",2,0x" .. ("b"):rep(64) .. ",7,1,0x" .. ("a"):rep(40) .. ",,0,60000,9,0x,1700000001,20,1,2",
    })
    write("receipts.csv", {
      "transaction_hash,transaction_index,block_hash,block_number,cumulative_gas_used,gas_used,contract_address,root,status,effective_gas_price",
      one .. ",0,0x" .. ("b"):rep(64) .. ",7,51000,51000,,,1,9", two .. ",1,0x" .. ("b"):rep(64) .. ",7,91000,40000," .. token .. ",,0,9",
    })
    local function word(n) return "0x" .. ("0"):rep(62) .. n end
    write("logs.csv", {
      "log_index,transaction_hash,transaction_index,block_hash,block_number,address,data,topics",
      "0," .. one .. ",0,0x" .. ("b"):rep(64) .. ",7," .. token .. "," .. word "05"
        .. ',"0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef,' .. word "a1" .. "," .. word "b2" .. '"',
    })
    local args = string.format("ingest --json --receipts %s/receipts.csv --logs %s/logs.csv %s/transactions.csv", dir, dir, dir)
    local code, text = here(args)
    assert.equal(0, code, text)
    assert.equal(2, cjson.decode(text).new)
    local _, tx = e:get("/api/v1/transactions/" .. one)
    assert.same({ "51000", "1", "transfer", "5" }, { tx.gasUsed, tx.status, tx.logs[1].kind, tx.logs[1].amount })
    _, tx = e:get("/api/v1/transactions/" .. two)
    assert.same({ "40000", "0", token, 0 }, { tx.gasUsed, tx.status, tx.contractAddress, #tx.logs })
    -- In another order there is no telling what is missing.
    os.execute(string.format("(sed -n 1p %s/receipts.csv; sed -n 3p %s/receipts.csv; sed -n 2p %s/receipts.csv) >%s/turned.csv", dir, dir,
      dir, dir))
    code, text = here(string.format("ingest --receipts %s/turned.csv %s/transactions.csv", dir, dir))
    assert.equal(1, code)
    assert.is_truthy(text:find("turned.csv:3: block 7, transaction 0 stands behind block 7, transaction 1; sort the file", 1, true), text)
    code, text = here(string.format("ingest --receipts %s/receipts.csv a b", dir))
    assert.equal(2, code)
    assert.is_truthy(text:find("go with one file of transactions", 1, true), text)
  end)

  it("names the line of each record that is refused, and takes the rest", function()
    engine.write(dir .. "/mixed.ndjson", cjson.encode(engine.tx()) .. "\nnonsense\n" .. cjson.encode(engine.tx { value = "-5" })
      .. "\n" .. cjson.encode(engine.tx()) .. "\n")
    local code, text = here("ingest " .. dir .. "/mixed.ndjson")
    assert.equal(1, code)
    assert.is_truthy(text:find("mixed.ndjson:2: ", 1, true), text)
    assert.is_truthy(text:find("mixed.ndjson:3: ", 1, true), text)
    assert.is_truthy(text:find("/value", 1, true), text)
    assert.is_truthy(text:find("2 new", 1, true), text)
    engine.write(dir .. "/columns.csv", "hash,block_number,from_address\n0x" .. ("9"):rep(64) .. ",1,0x12\n")
    code, text = here("ingest " .. dir .. "/columns.csv")
    assert.equal(1, code)
    assert.is_truthy(text:find("columns.csv:2: the transaction is not valid; /from_address must be 0x and 40 hex digits", 1, true), text)
    assert.is_truthy(text:find("/timestamp is required", 1, true), text)
    code, text = here("ingest " .. dir .. "/nothing.ndjson")
    assert.equal(2, code)
    assert.is_truthy(text:find("could not open", 1, true))
  end)

  it("completes partial records when asked, and says so", function()
    local whole = engine.tx()
    local partial = engine.tx { blockNumber = 9069000 }
    partial.gas, partial.gasPrice, partial.nonce, partial.timestamp = nil, nil, cjson.null, nil
    engine.write(dir .. "/partial.ndjson", cjson.encode(whole) .. "\n" .. cjson.encode(partial) .. "\n")
    local code, text = here("ingest " .. dir .. "/partial.ndjson")
    assert.equal(1, code)
    assert.is_truthy(text:find("partial.ndjson:2: the transaction is not valid", 1, true), text)
    assert.is_truthy(text:find("with --fill it is worked out from the rest", 1, true), text)
    code, text = here("ingest --fill " .. dir .. "/partial.ndjson")
    assert.equal(0, code, text)
    assert.is_truthy(text:find("1 records were partial; filled in: 1 times (by block number), 1 gas limits", 1, true), text)
    assert.is_truthy(text:find("1 new", 1, true), text)
    local _, tx = e:get("/api/v1/transactions/" .. partial.hash)
    assert.same({ "21000", "0", "100" }, { tx.gas, tx.gasPrice, tx.nonce })
    code, text = here("rules backtest --json --file " .. dir .. "/partial.ndjson")
    assert.equal(0, code, text)
    assert.is_truthy(text:find('"filled_in":"1 records were partial', 1, true), text)
  end)

  it("starts an engine of its own where none runs", function()
    local other = engine.tmpdir()
    engine.write(dir .. "/one.ndjson", cjson.encode(engine.tx()) .. "\n")
    local code, text = cw("ingest --json --set http.listen=127.0.0.1:1 " .. dir .. "/one.ndjson", "CHAINWATCH_DATA_DIR=" .. other)
    assert.equal(0, code, text)
    assert.is_truthy(text:find('"new":1', 1, true), text)
    os.execute("rm -rf " .. other)
  end)

  it("lists the rules of the engine, and reloads it", function()
    local code, text = here("rules list")
    assert.equal(0, code)
    assert.is_truthy(text:find("eth.fan_out", 1, true))
    code, text = here("reload")
    assert.equal(0, code, text)
    code, text = cw("reload --set http.listen=127.0.0.1:1", "CHAINWATCH_DATA_DIR=" .. dir)
    assert.equal(69, code)
    assert.is_truthy(text:find("no engine is running", 1, true))
  end)

  it("tells the state of the schema", function()
    local code, text = here("migrate status")
    assert.equal(0, code, text)
    assert.is_truthy(text:find("applied  20260105090000_nine_tables", 1, true), text)
    code, text = cw("migrate sql")
    assert.equal(0, code)
    assert.is_truthy(text:find("CREATE TABLE transactions", 1, true))
  end)

  it("does not start twice on one data directory", function()
    local code, text = here("serve --listen 127.0.0.1:0")
    assert.equal(75, code)
    assert.is_truthy(text:find("another engine runs", 1, true))
  end)

  it("refuses to serve on a pending migration when told not to migrate", function()
    local other = engine.tmpdir()
    local code, text = cw("serve --listen 127.0.0.1:0 --set database.migrate=false --data-dir " .. other)
    assert.equal(2, code, text)
    assert.is_truthy(text:find("chainwatch migrate up", 1, true), text)
    os.execute("rm -rf " .. other)
  end)

  local function file(name, text)
    local path = dir .. "/" .. name
    local f = assert(io.open(path, "w"))
    f:write(text)
    f:close()
    return path
  end

  it("scores a series", function()
    local rows = { "timestamp,value" }
    for i = 0, 999 do
      rows[#rows + 1] = ("2026-01-%02d %02d:%02d:00,%d"):format(1 + i / 288, i / 12 % 24, i % 12 * 5, i == 900 and 500 or 10 + i % 3)
    end
    local code, text = cw("detect series " .. file("series.csv", table.concat(rows, "\n")))
    assert.equal(0, code, text)
    assert.equal("timestamp,value,anomaly_score", text:match("^[^\n]+"))
    local n, alerts = 0, {}
    for value, score in text:gmatch(",(%d+),([%d.e-]+)") do
      n = n + 1
      if tonumber(score) >= 0.5 then alerts[#alerts + 1] = value end
    end
    assert.equal(1000, n)
    assert.same({ "500" }, alerts)
  end)

  it("scores a table with every method, whatever its labels say", function()
    local rows, other = { "label,a,b" }, { "label,a,b" }
    for i = 1, 400 do
      local a, b = i * 37 % 101, i * 53 % 97
      if i == 400 then a, b = 5000, -5000 end
      rows[#rows + 1] = ("%d,%d,%d"):format(i == 400 and 1 or 0, a, b)
      other[#other + 1] = ("x%d,%d,%d"):format(i, a, b)
    end
    local one, two = file("one.csv", table.concat(rows, "\n")), file("two.csv", table.concat(other, "\n"))
    for _, method in ipairs { "combined", "iforest", "hbos", "ecod", "knn", "mahalanobis", "hstree" } do
      local code, text = cw(("detect table --method %s --seed 5 %s"):format(method, one))
      local code2, text2 = cw(("detect table --method %s --seed 5 --fit %s %s"):format(method, one, two))
      local scores, again = {}, {}
      assert.equal(0, code, text)
      assert.equal(0, code2, text2)
      assert.equal("score,label", text:match("^[^\n]+"))
      for score, label in text:gmatch("([%d.e+-]+),(%d)\n") do
        scores[#scores + 1] = score
        assert.equal(#scores == 400 and "1" or "0", label)
      end
      for score in text2:gmatch("([%d.e+-]+),x%d+\n") do again[#again + 1] = score end
      local above = 0
      for _, score in ipairs(scores) do above = above + (tonumber(score) > tonumber(scores[400]) and 1 or 0) end
      -- trees that grow with the stream have not seen how far out it is when it comes: as odd as the oddest they know
      assert.is_true(above <= (method == "hstree" and 20 or 0), method .. ": " .. above)
      assert.equal(400, #again)
      if method ~= "hstree" then assert.same(scores, again, method) end   -- it has seen the rows twice then
    end
  end)

  for name, case in pairs {
    ["a short row"] = { "a,b\n1,2\n3\n", ":3: 1 cells where the header has 2" },
    ["text"] = { "a,b\n1,2\n\n3,x\n", ':4: "x" is not a number' }, ["nan"] = { "a\nnan\n", ':2: "nan" is not a number' },
    ["an empty cell"] = { "a,b\n1,\n", ':2: "" is not a number' }, ["an empty file"] = { "", "the file is empty" },
    ["no rows"] = { "a,b\n", "no rows below the header" },
    ["only labels"] = { "label\n1\n", "names no column but the label" },
  } do
    it("refuses a table with " .. name, function()
      local code, text = cw("detect table " .. file("bad.csv", case[1]))
      assert.equal(2, code, text)
      assert.is_truthy(text:find(case[2], 1, true), text)
    end)
  end

  it("refuses training rows with other columns", function()
    local code, text = cw(("detect table --fit %s %s"):format(file("p.csv", "a,c\n1,2\n"), file("q.csv", "a,b\n1,2\n")))
    assert.equal(2, code)
    assert.is_truthy(text:find('column 2 is "b"', 1, true), text)
  end)

  it("says which certificate is missing, and that a queue must hold a batch", function()
    local data = engine.tmpdir()
    for _, case in ipairs {
      { "http.tls_cert=/nowhere.crt --set http.tls_key=/nowhere.key", '"/nowhere.crt": No such file or directory' },
      { "pipeline.queue_limit=100", "pipeline.queue_limit must be between 1000 and" },
    } do
      local code, text = engine.run(string.format("%s serve -l 127.0.0.1:0 -d %s --set %s", engine.bin, data, case[1]))
      assert.equal(2, code, text)
      assert.is_truthy(text:find(case[2], 1, true), text)
    end
    os.execute("rm -rf " .. data)
  end)
end)
