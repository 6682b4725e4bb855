--- The engine as a member of a consumer group: what is acknowledged to the brokers is in the tables, kills and rebalances lose
--- nothing and double nothing, what is no transaction is told with its place and holds nothing up.

local engine = require "tests.support.engine"
local kafka = require "tests.support.kafka"
local cjson = require "cjson"

if not kafka.available() then
  describe("a Kafka source", function() pending("librdkafka is not installed") end)
  return
end

local PARTITIONS = 4
local dir, bus, a, b

local function config(name)
  local path = dir .. "/" .. name .. ".lua"
  engine.write(path, string.format([[return { source = { { name = "bus", kind = "kafka", brokers = "%s", group = "cw", topics = { "txs" },
    chain_id = 1, options = { ["session.timeout.ms"] = "6000", ["heartbeat.interval.ms"] = "200" } } } }]], bus.brokers))
  return "CHAINWATCH_CONFIG=" .. path
end

--- Transactions `from` to `to`; the partition is the number's.
local function produce(from, to)
  for n = from, to do
    bus:produce(n % PARTITIONS, cjson.encode(engine.tx { hash = string.format("0x%064x", n) }))
  end
  bus:flush()
end

local function source(e)
  local _, body = e:get "/api/v1/sources"
  return body.sources[1]
end

local function stored(e) return tonumber(e:sql "SELECT count(*) FROM transactions") end
local function until_stored(e, n)
  engine.wait(n .. " transactions", 30, function() return stored(e) == n end)
end
local function until_committed(n)
  engine.wait("offsets up to " .. n, 30, function() return bus:committed "cw" == n end)
end

describe("a Kafka source", function()
  setup(function()
    dir = engine.tmpdir()
    bus = kafka.start { topic = "txs", partitions = PARTITIONS }
    a = engine.start { dir = engine.tmpdir(), env = config "a" }
    a.owns = true
  end)
  teardown(function()
    if b then b:stop { "librdkafka" } end
    a:stop { "librdkafka" }
    bus:stop()
    os.execute("rm -rf " .. dir)
  end)

  it("acknowledges what it has committed, and tells what is no transaction with its place", function()
    produce(1, 200)
    bus:produce(2, "not json")
    bus:produce(2, '{"hash":"0x12"}')
    produce(201, 240)
    until_stored(a, 240)
    until_committed(242)
    assert.equal(2, source(a).skipped)
    local log = engine.read(a.log)
    assert.truthy(log:find 'msg="a message is no transaction" source=bus topic=txs partition=2 offset=50 reason=')
    assert.truthy(log:find 'topic=txs partition=2 offset=51 reason="/hash must be 0x and 64 hex digits"')
  end)

  it("goes on after kill -9 without loss or doubles", function()
    for round = 1, 2 do
      local before = 240 + (round - 1) * 3000
      produce(before + 1, before + 1500)
      engine.wait("some of them", 20, function() return stored(a) > before end)
      a:kill "KILL"
      produce(before + 1501, before + 3000)
      engine.wait("the end", 10, function() return not a:alive() end)
      a = engine.start { dir = a.dir, env = config "a" }
      a.owns = true
    end
    until_stored(a, 6240)
    until_committed(6242)
    assert.equal("6240", a:sql "SELECT count(DISTINCT hash) FROM transactions")
    assert.equal("6240", a:sql "SELECT count(DISTINCT transaction_id) FROM predictions")
  end)

  it("shares its partitions with another engine, and takes them back when that one dies", function()
    local url = engine.read(a.dir .. "/database.url"):gsub("%s+$", "")
    b = engine.start { env = config "b", sets = { "database.url=" .. url } }
    engine.wait("both to have partitions", 30, function()
      return (source(a).partitions or 0) > 0 and (source(b).partitions or 0) > 0
    end)
    produce(6241, 8000)
    until_stored(a, 8000)
    until_committed(8002)
    assert.is_true(source(b).transactions > 0)
    produce(8001, 9000)
    b:kill "KILL"
    produce(9001, 10000)
    engine.wait("the end", 10, function() return not b:alive() end)
    until_stored(a, 10000)
    until_committed(10002)
    assert.equal("10000", a:sql "SELECT count(DISTINCT hash) FROM transactions")
    b:remove()
    b = nil
  end)
end)
