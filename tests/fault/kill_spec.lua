--- Killed under load: the engine, its PostgreSQL, its evaluator. A client's ledger is compared with the tables: what was
--- acknowledged is there exactly once, with one prediction; writes go on by themselves.

local engine = require "tests.support.engine"
local socket = require "socket"

local CLIENTS = 6

local function start_clients(e, dir, seconds)
  local ledgers = {}
  for i = 1, CLIENTS do
    ledgers[i] = dir .. "/ledger." .. i
    os.execute(string.format("luajit tests/support/ledger_client.lua %s/engine.pid %s %s %g %d &", e.dir, e.key,
      ledgers[i], seconds, math.floor(socket.gettime() * 1000) % 100000000 * 10 + i))
  end
  return ledgers
end

local function read_ledgers(ledgers)
  local acked, other, last = {}, 0, nil
  for _, path in ipairs(ledgers) do
    for hash, status in (engine.read(path) or ""):gmatch("(0x%x+) (%S+)\n") do
      if status == "200" then acked[#acked + 1] = hash else other = other + 1 end
      assert.is_true(status == "200" or status == "503" or status == "none", "answered " .. status)
      last = status
    end
  end
  return acked, other, last
end

local function check_tables(e, acked)
  local stored = {}
  for hash, count in e:sql([[SELECT encode(t.hash, 'hex'), count(p.id) FROM transactions t
      LEFT JOIN predictions p ON p.transaction_id = t.id GROUP BY t.hash]]):gmatch("(%x+)|(%d+)") do
    stored["0x" .. hash] = tonumber(count)
  end
  for _, hash in ipairs(acked) do assert.equal(1, stored[hash], "acknowledged " .. hash) end
  for hash, count in pairs(stored) do assert.equal(1, count, "predictions of " .. hash) end
  assert.equal("0", e:sql("SELECT count(*) FROM (SELECT 1 FROM transactions GROUP BY chain_id, hash HAVING count(*) > 1) x"))
end

local function evaluator_of(e)
  local text = select(2, engine.run("pgrep -P " .. e.pid))
  local zygote_first
  for pid in text:gmatch("%d+") do
    local name = (engine.read("/proc/" .. pid .. "/comm") or ""):gsub("%s+$", "")
    if name:find("eval", 1, true) then return tonumber(pid) end
    zygote_first = zygote_first or pid
  end
end

describe("killed under load", function()
  local dir
  before_each(function() dir = engine.tmpdir() end)
  after_each(function() os.execute("rm -rf " .. dir) end)

  it("the engine: nothing acknowledged is lost, and it comes up again", function()
    local e = engine.start { dir = dir }
    local ledgers = start_clients(e, dir, 8)
    for _ = 1, 2 do
      socket.sleep(1.5)
      e:kill("KILL")
      e = engine.start { dir = dir }
    end
    socket.sleep(6)
    local acked = read_ledgers(ledgers)
    assert.is_true(#acked > 50, #acked .. " acknowledged")
    check_tables(e, acked)
    e:stop { "" }
  end)

  it("PostgreSQL: requests wait or get 503, then all goes on", function()
    local e = engine.start { dir = dir }
    local ledgers = start_clients(e, dir, 9)
    for _, signal in ipairs { "KILL", "QUIT" } do
      socket.sleep(1.5)
      local postmaster = engine.read(dir .. "/pg/data/postmaster.pid"):match("^(%d+)")
      os.execute("kill -" .. signal .. " " .. postmaster)
    end
    socket.sleep(7)
    assert.is_true(e:alive())
    local status = engine.wait("writes to go on", 15, function()
      local s = e:post("/api/v1/predict", engine.tx())
      return s == 200 and s
    end)
    assert.equal(200, status)
    socket.sleep(1)
    local acked = read_ledgers(ledgers)
    assert.is_true(#acked > 50, #acked .. " acknowledged")
    check_tables(e, acked)
    e:stop { "" }
  end)

  it("the evaluator: no request fails, nothing is judged twice", function()
    local e = engine.start { dir = dir }
    local ledgers = start_clients(e, dir, 5)
    local kills = 0
    for _ = 1, 8 do
      socket.sleep(0.4)
      local pid = evaluator_of(e)
      if pid then
        kills = kills + 1
        os.execute("kill -KILL " .. pid)
      end
    end
    socket.sleep(3)
    assert.is_true(kills >= 3, kills .. " evaluators were found")
    local acked, other = read_ledgers(ledgers)
    assert.is_true(#acked > 50, #acked .. " acknowledged")
    assert.equal(0, other)
    check_tables(e, acked)
    local _, set = e:get("/api/v1/ruleset")
    for _, r in ipairs(set.rules) do assert.is_false(r.quarantined, r.id) end
    e:stop { "" }
  end)

  it("a backend of PostgreSQL: the commit stream reconnects", function()
    local e = engine.start { dir = dir }
    local ledgers = start_clients(e, dir, 5)
    for _ = 1, 6 do
      socket.sleep(0.5)
      e:sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'")
    end
    socket.sleep(3)
    local acked = read_ledgers(ledgers)
    assert.is_true(#acked > 50, #acked .. " acknowledged")
    check_tables(e, acked)
    e:stop { "" }
  end)
end)
