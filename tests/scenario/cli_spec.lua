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
    { "migrate sideways", 2, "say up, down, status or sql" }, { "rules", 2, "say list or test" },
    { "simulate --blocks x", 2, "--blocks" }, { "simulate --scenario nonsense --blocks 1", 2, "nonsense" },
    { "check -c /nowhere.lua", 2, 'could not open "/nowhere.lua"' },
  } do
    it("refuses: chainwatch " .. case[1], function()
      local code, text = cw(case[1])
      assert.equal(case[2], code, text)
      assert.is_truthy(text:find(case[3], 1, true), text)
    end)
  end

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
    local code, text = here("ingest --json " .. file)
    assert.equal(0, code, text)
    local result = cjson.decode(text)
    assert.is_true(result.new > 100)
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

  it("names the line of each record that is refused, and takes the rest", function()
    engine.write(dir .. "/mixed.ndjson", cjson.encode(engine.tx()) .. "\nnonsense\n" .. cjson.encode(engine.tx { value = "-5" })
      .. "\n" .. cjson.encode(engine.tx()) .. "\n")
    local code, text = here("ingest " .. dir .. "/mixed.ndjson")
    assert.equal(1, code)
    assert.is_truthy(text:find("mixed.ndjson:2: ", 1, true), text)
    assert.is_truthy(text:find("mixed.ndjson:3: ", 1, true), text)
    assert.is_truthy(text:find("/value", 1, true), text)
    assert.is_truthy(text:find("2 new", 1, true), text)
    code, text = here("ingest " .. dir .. "/nothing.ndjson")
    assert.equal(2, code)
    assert.is_truthy(text:find("could not open", 1, true))
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
end)
