--- Real transactions through the whole engine: stored field by field as they came, to the last wei; again adds nothing.

local engine = require "tests.support.engine"
local cjson = require "cjson"

local data = os.getenv("CHAINWATCH_TEST_DATA") or "../shared/data"
local file = data .. "/demo_tx.ndjson"

describe("real data", function()
  if not engine.read(file) then
    pending("skipped: " .. file .. " is not there")
    return
  end

  local e, rows
  setup(function()
    e = engine.start()
    rows = {}
    for line in io.lines(file) do rows[#rows + 1] = line end
  end)
  teardown(function() e:stop() end)

  local function ingest()
    local code, text = engine.run(string.format("CHAINWATCH_DATA_DIR=%s %s ingest --json %s", e.dir, engine.bin, file))
    assert.equal(0, code, text)
    return cjson.decode(text)
  end

  -- Quantities stay text: a Lua number would lose the last wei.
  local function field(line, name)
    return line:match('"' .. name .. '": ?"([^"]*)"') or line:match('"' .. name .. '": ?([%w.]+)')
  end

  it("is stored field by field", function()
    local result = ingest()
    assert.equal(#rows, result.new)
    assert.equal(0, result.refused)
    local stored = {}
    local text = e:sql([[SELECT encode(hash, 'hex'), block_number, extract(epoch from timestamp)::bigint,
      encode(from_address, 'hex'), coalesce(encode(to_address, 'hex'), 'null'), value, gas, gas_price, nonce,
      coalesce(gas_used::text, 'null'), coalesce(tx_index::text, 'null'), coalesce(status::text, 'null') FROM transactions]])
    for line in text:gmatch("[^\n]+") do
      local cells = {}
      for cell in line:gmatch("[^|]+") do cells[#cells + 1] = cell end
      stored["0x" .. cells[1]] = cells
    end
    for _, line in ipairs(rows) do
      local got = assert(stored[field(line, "hash")], "missing: " .. line)
      local to = field(line, "to_address")
      local want = { field(line, "block_number"), field(line, "timestamp"), field(line, "from_address"):sub(3),
        to == "null" and to or to:sub(3), field(line, "value"), field(line, "gas"), field(line, "gas_price"),
        field(line, "nonce"), field(line, "gas_used"), field(line, "transaction_index"), field(line, "status") }
      for i, value in ipairs(want) do assert.equal(value, got[i + 1], "column " .. i .. " of " .. line) end
    end
    assert.equal(tostring(#rows), e:sql("SELECT count(*) FROM predictions"))
  end)

  it("adds nothing the second time", function()
    local result = ingest()
    assert.equal(0, result.new)
    assert.equal(#rows, result.duplicates)
    assert.equal(tostring(#rows), e:sql("SELECT count(*) FROM transactions"))
    assert.equal(tostring(#rows), e:sql("SELECT count(*) FROM predictions"))
  end)

  it("reads back over HTTP as it went in", function()
    for i = 1, #rows, 97 do
      local line = rows[i]
      local status, tx = e:get("/api/v1/transactions/" .. field(line, "hash"))
      assert.equal(200, status)
      assert.equal(field(line, "value"), tx.value)
      assert.equal(field(line, "gas_price"), tx.gasPrice)
      assert.equal(field(line, "from_address"), tx.from)
    end
  end)
end)
