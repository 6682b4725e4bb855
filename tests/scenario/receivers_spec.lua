--- Receivers that fail in every way: nobody else waits for them, nothing is lost, and nothing inside can be reached by way of them.

local engine = require "tests.support.engine"
local cjson = require "cjson"
local socket = require "socket"

local RULE = [[
return rule {
  id = "test.big", version = "1.0.0", severity = "high", title = "Big amount", description = "Over the limit.", cooldown = "0s",
  evaluate = function(tx)
    if tx.ether >= 50 then return alert { score = 0.9, dedup = tx.hash, explain = { ether = tx.ether } } end
  end,
  tests = {
    { name = "quiet", given = tx { ether = 1 }, expect = "quiet" },
    { name = "fires", given = tx { ether = 60 }, expect = "alert" },
  },
}
]]

-- What stands behind each name, and what the row of its delivery says in the end: "" for delivered.
local WAYS = {
  hang = "in time", drip = "in time", reset = "could not call", limit = "answered 429", inward = "answered 307",
  huge = "", endless = "", torn = "",
}
-- Every one of them means this machine, or the metadata service of a cloud.
local INSIDE = { "127.0.0.1", "localhost", "0.0.0.0", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "[::1]", "[::]", "[::ffff:127.0.0.1]",
  "[::ffff:7f00:1]", "[64:ff9b::7f00:1]" }

describe("receivers", function()
  local e, dir, file, port, tls
  local function received(path)
    local list = {}
    for line in (engine.read(file) or ""):gmatch("[^\n]+") do
      local entry = cjson.decode(line)
      if entry.path == path then list[#list + 1] = entry end
    end
    return list
  end
  local function send()
    local tx = engine.tx { value = "60000000000000000000" }
    assert.equal(200, (e:post("/api/v1/predict", tx)))
    return tx.hash
  end
  local function row(target, columns)
    return e:sql("SELECT " .. columns .. " FROM outbox WHERE target = '" .. target .. "' ORDER BY id LIMIT 1")
  end

  setup(function()
    dir = engine.tmpdir()
    file = dir .. "/received"
    os.execute("mkdir " .. dir .. "/rules")
    engine.write(dir .. "/rules/big.lua", RULE)
    os.execute(("node tests/support/receiver.mjs %s >%s/ports 2>&1 & echo $! >%s/receiver.pid"):format(file, dir, dir))
    port = engine.wait("the receiver", 20, function() return (engine.read(dir .. "/ports") or ""):match "(%d+) %d+\n" end)
    -- A certificate that nobody has signed, on a port that the kernel picks.
    assert(engine.run(("openssl req -x509 -newkey rsa:2048 -nodes -keyout %s/k.pem -out %s/c.pem -days 2 -subj /CN=127.0.0.1"):format(dir, dir)) == 0)
    os.execute(([[node -e 'const s=require("https").createServer({key:require("fs").readFileSync("%s/k.pem"),cert:require("fs").readFileSync("%s/c.pem")},
      (q,r)=>r.end()).listen(0,"127.0.0.1",()=>console.log(s.address().port))' >%s/tls 2>&1 & echo $! >%s/tls.pid]]):format(dir, dir, dir, dir))
    tls = engine.wait("the TLS server", 20, function() return (engine.read(dir .. "/tls") or ""):match "^(%d+)\n" end)
    local list = {}
    local function target(name, url, more)
      list[#list + 1] = ('{ name = "%s", url = "%s", %s }'):format(name, url, more or "allow_private = true, per_minute = 1000")
    end
    target("ok", "http://127.0.0.1:" .. port .. "/ok")
    target("bad", "http://127.0.0.1:" .. port .. "/bad")
    for way in pairs(WAYS) do
      target(way, "http://127.0.0.1:" .. port .. "/" .. way, "allow_private = true, timeout_ms = " .. (way == "hang" and 15000 or 2000))
    end
    target("refused", "http://127.0.0.1:1/")
    target("tls", "https://127.0.0.1:" .. tls .. "/")
    for i, host in ipairs(INSIDE) do target("inside" .. i, "http://" .. host .. ":" .. port .. "/inside", "timeout_ms = 5000") end
    target("metadata", "http://169.254.169.254/latest/meta-data/", "timeout_ms = 5000")
    engine.write(dir .. "/chainwatch.lua", ('return { rules = { dir = "%s/rules" }, deliver = { %s } }'):format(dir, table.concat(list, ",\n")))
    e = engine.start { env = "CHAINWATCH_CONFIG=" .. dir .. "/chainwatch.lua" }
  end)
  teardown(function()
    e:stop()
    os.execute("kill $(cat " .. dir .. "/receiver.pid) $(cat " .. dir .. "/tls.pid) 2>/dev/null")
    os.execute("rm -rf " .. dir)
  end)

  it("that hang or fail slow down nobody else, nor what comes in", function()
    send()
    engine.wait("one that hangs", 30, function() return received("/hang")[1] end)
    local slowest = 0
    for n = 2, 6 do
      local began = socket.gettime()
      send()
      slowest = math.max(slowest, socket.gettime() - began)
      -- Far less than the one that hangs takes: 15 s each.
      engine.wait("the alert", 8, function() return #received("/ok") == n end)
    end
    assert.is_true(slowest < 5, "an answer took " .. slowest .. " s")
    assert.equal(1, #received("/hang"))
  end)

  it("have what they did told, and are tried again unless they have taken it", function()
    for way, said in pairs(WAYS) do
      local got = engine.wait(way, 30, function()
        local done, err, attempts = row(way, "delivered_at IS NOT NULL, last_error, attempts"):match "^(%a)|(.*)|(%d+)$"
        return tonumber(attempts) > 0 and { done = done, err = err }
      end)
      assert.equal(said == "" and "t" or "f", got.done, way .. ": " .. got.err)
      assert.truthy(got.err:find(said, 1, true), way .. ": " .. got.err)
    end
    assert.truthy(row("refused", "last_error"):find("could not call", 1, true))
    assert.truthy(row("tls", "last_error"):find("self-signed certificate", 1, true))
    -- Retry-After is kept: 40 s, where the first wait would be 5.
    assert.equal("t", row("limit", "next_attempt_at - now() > '10s'"))
  end)

  it("cannot be inside, however the address is written", function()
    for i, host in ipairs(INSIDE) do
      local said = engine.wait(host, 20, function()
        local text = row("inside" .. i, "last_error")
        return text ~= "" and text
      end)
      assert.truthy(said:find("private or special", 1, true) or said:find("Bad access", 1, true) or said:find("Failed to connect", 1, true)
        or said:find("Couldn't connect", 1, true), host .. ": " .. said)
    end
    assert.truthy(row("metadata", "last_error"):find("private or special", 1, true))
    assert.same({}, received "/inside")
    assert.equal("0", e:sql "SELECT count(*) FROM outbox WHERE target LIKE 'inside%' AND delivered_at IS NOT NULL")
  end)

  it("that are down for an hour lose nothing, and get the same event under the same id", function()
    local waiting = e:sql "SELECT count(*) FROM outbox WHERE target = 'bad'"
    -- An hour of attempts, 5 s to half an hour apart, without the waiting.
    for attempt = 1, 6 do
      engine.wait("attempt " .. attempt, 20, function() return tonumber(row("bad", "attempts")) >= attempt end)
      e:sql "UPDATE outbox SET next_attempt_at = now() WHERE target = 'bad' AND delivered_at IS NULL"
    end
    engine.write(file .. ".up", "")
    engine.wait("all of it", 30, function()
      e:sql "UPDATE outbox SET next_attempt_at = now() WHERE target = 'bad' AND delivered_at IS NULL AND next_attempt_at > now() + '1s'"
      return e:sql "SELECT count(*) FROM outbox WHERE target = 'bad' AND delivered_at IS NOT NULL" == waiting
    end)
    local ids, tries, taken = {}, 0, 0
    for _, entry in ipairs(received "/bad") do
      tries = tries + 1
      ids[entry.id] = (ids[entry.id] or 0) + (entry.status == 204 and 1 or 0)
    end
    for _, times in pairs(ids) do
      taken = taken + 1
      assert.is_true(times >= 1)
    end
    assert.equal(tonumber(waiting), taken)
    assert.is_true(tries > 2 * taken)
  end)
end)
