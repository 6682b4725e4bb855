--- Reload soak: reload after reload under load, of four kinds in turn (good, broken, slow, one that changes state), with a
--- ledger of every request. What must hold: no request fails, every transaction that was answered has one verdict, memory is
--- flat, and requests hardly notice.
---
---   luajit tests/soak/soak.lua [RELOADS] [CLIENTS] [RATE of each] [QUIET seconds]
---
--- Exit 0 if all of it holds. Figures go to stdout. SOAK_LAX=1 leaves the limits of memory and time out: a short run on a
--- busy machine says nothing about them.
package.path = "./?.lua;" .. package.path
local engine = require "tests.support.engine"
local socket = require "socket"

local RELOADS, CLIENTS = tonumber(arg[1] or 10000), tonumber(arg[2] or 4)
local RATE, QUIET = tonumber(arg[3] or 25), tonumber(arg[4] or 20)
local LAX = os.getenv("SOAK_LAX") == "1"
local MEMORY_GROWTH, LATENCY_GROWTH = 1.05, 2

local RULE = [[
return rule {
  id = "soak.watch", version = "%s", severity = "low", title = "Changes all the time", description = "For the soak.",
  state = function() return { n = window.count { key = "from", span = "%dm" }, d = window.distinct { key = "to", of = "from", span = "1h" } } end,
  evaluate = function(tx, s)
    local n, d = s.n:add(tx), s.d:add(tx)
    if tx.value > 1e40 or n + (d or 0) < 0 then return alert { score = 0.5, explain = { n = n } } end
  end,
  tests = {
    { name = "quiet", given = txs { n = %d, from = A, to = B }, expect = "quiet" },
    { name = "fires", given = tx { from = A, to = B, value = 1e41 }, expect = "alert" },
  },
}
]]

local dir = engine.tmpdir()
os.execute("mkdir -p " .. dir .. "/rules && cp rules/fan_out.lua rules/value_outlier.lua rules/gas_spike.lua " .. dir .. "/rules")

local KINDS = {
  good = function(i) return RULE:format("1." .. i .. ".0", 60, 1), 200 end,
  broken = function(i) return i % 8 < 4 and "return rule {" or RULE:format("1.0.0", 60, 1):gsub('expect = "quiet"', 'expect = "alert"'), 422 end,
  slow = function(i) return RULE:format("1." .. i .. ".0", 60, 900), 200 end,
  state = function(i) return RULE:format("1." .. i .. ".0", 61 + i % 4, 1), 200 end,
}
local ORDER = { "good", "broken", "slow", "state" }

local e = engine.start { sets = { "rules.dir=" .. dir .. "/rules", "pipeline.recent_hashes=1024", "rules.warm_max=2000",
  "rules.checkpoint_s=5" } }

-- --- clients -----------------------------------------------------------------------------------------------------

local phase = 0
local function start_clients()
  phase = phase + 1
  local load = { ledgers = {}, stop = dir .. "/stop." .. phase }
  for i = 1, CLIENTS do
    load.ledgers[i] = dir .. "/ledger." .. phase .. "." .. i
    os.execute(string.format("luajit tests/soak/client.lua %d %s %s %s %g %d & echo $! >>%s/pids.%d", e.port, e.key,
      load.ledgers[i], load.stop, RATE, phase * 1000 + i, dir, phase))
  end
  return load
end

local function stop_clients(load)
  engine.write(load.stop, "")
  for pid in engine.read(dir .. "/pids." .. phase):gmatch("%d+") do
    engine.wait("the clients to end", 60, function() return not engine.read("/proc/" .. pid .. "/cmdline") end)
  end
  local latencies, acked, failed = {}, {}, 0
  for _, path in ipairs(load.ledgers) do
    for hash, status, us in (engine.read(path) or ""):gmatch("(0x%x+) (%S+) (%d+)\n") do
      latencies[#latencies + 1] = tonumber(us)
      if status == "200" then acked[#acked + 1] = hash else failed = failed + 1 end
    end
  end
  table.sort(latencies)
  local function at(share) return (latencies[math.max(1, math.ceil(share * #latencies))] or 0) / 1000 end
  return { n = #latencies, acked = acked, failed = failed, p50 = at(0.5), p99 = at(0.99), p999 = at(0.999), max = at(1) }
end

-- --- memory ------------------------------------------------------------------------------------------------------

local function anonymous_kb(pid)
  return tonumber((engine.read("/proc/" .. pid .. "/status") or ""):match("RssAnon:%s+(%d+)"))
end
local function evaluator()
  return select(2, engine.run("pgrep -P " .. e.pid .. " cw-evaluator")):match("%d+")
end
local function descriptors(pid)
  return tonumber((select(2, engine.run("ls /proc/" .. pid .. "/fd | wc -l")):match("%d+")))
end

local samples = {}
local function sample()
  local child = evaluator()
  samples[#samples + 1] = { engine = anonymous_kb(e.pid), evaluator = child and anonymous_kb(child), fds = descriptors(e.pid) }
end
--- Median over a share of the samples: single ones hit moments at which two evaluators live or a reload is half done.
local function median(key, from, to)
  local list = {}
  for i = math.max(1, math.floor(from * #samples)), math.max(1, math.floor(to * #samples)) do
    list[#list + 1] = samples[i][key]
  end
  table.sort(list)
  return list[math.ceil(#list / 2)] or 0
end

-- --- the run -----------------------------------------------------------------------------------------------------

local function reload(i)
  local kind = ORDER[(i - 1) % #ORDER + 1]
  local text, expected = KINDS[kind](i)
  engine.write(dir .. "/rules/watch.lua", text)
  local status, body = e:post("/api/v1/admin/reload")
  if status ~= expected then
    error(string.format("reload %d (%s) was answered %s, not %d: %s", i, kind, tostring(status), expected, tostring(body and body.detail)))
  end
end

local load = start_clients()
socket.sleep(QUIET)
local quiet = stop_clients(load)

load = start_clients()
local from = socket.gettime()
for i = 1, RELOADS do
  reload(i)
  if i % math.max(1, math.floor(RELOADS / 200)) == 0 then sample() end
  if i % 500 == 0 then
    io.stderr:write(string.format("%d reloads, %.1f a second, engine %d kB, evaluator %s kB, %d descriptors\n", i,
      i / (socket.gettime() - from), samples[#samples].engine, tostring(samples[#samples].evaluator), samples[#samples].fds))
  end
end
local seconds = socket.gettime() - from
local busy = stop_clients(load)

-- --- the ledger --------------------------------------------------------------------------------------------------

local stored, doubled, lost, wrong = {}, 0, 0, {}
for hash, count in e:sql([[SELECT encode(t.hash, 'hex'), count(p.id) FROM transactions t
    LEFT JOIN predictions p ON p.transaction_id = t.id GROUP BY t.hash]]):gmatch("(%x+)|(%d+)") do
  stored["0x" .. hash] = (stored["0x" .. hash] or 0) + tonumber(count)
end
for _, result in ipairs { quiet, busy } do
  for _, hash in ipairs(result.acked) do
    local n = stored[hash] or 0
    if n == 0 then lost = lost + 1 elseif n > 1 then doubled = doubled + 1 end
    if n ~= 1 and #wrong < 10 then
      wrong[#wrong + 1] = ("%s: %s with %d predictions"):format(hash, stored[hash] and "stored" or "not stored", n)
    end
  end
end

local faults = {}
local function must(ok, what) if not ok then faults[#faults + 1] = what end end
local engine_growth = median("engine", 0.85, 1) / median("engine", 0.1, 0.25)
local evaluator_growth = median("evaluator", 0.85, 1) / median("evaluator", 0.1, 0.25)

print(string.format("reloads      %d in %.0f s (%.1f a second): good, broken, slow, state-changing in turn", RELOADS, seconds,
  RELOADS / seconds))
print(string.format("requests     %d quiet, %d under reload, %d failed", quiet.n, busy.n, quiet.failed + busy.failed))
print(string.format("verdicts     %d acknowledged, %d lost, %d doubled", #quiet.acked + #busy.acked, lost, doubled))
print(string.format("latency ms   quiet p50 %.1f p99 %.1f max %.1f; under reload p50 %.1f p99 %.1f p99.9 %.1f max %.1f", quiet.p50,
  quiet.p99, quiet.max, busy.p50, busy.p99, busy.p999, busy.max))
print(string.format("memory kB    engine %d to %d (%+.1f %%), evaluator %d to %d (%+.1f %%), descriptors %d to %d",
  median("engine", 0.1, 0.25), median("engine", 0.85, 1), 100 * (engine_growth - 1), median("evaluator", 0.1, 0.25),
  median("evaluator", 0.85, 1), 100 * (evaluator_growth - 1), median("fds", 0.1, 0.25), median("fds", 0.85, 1)))
must(quiet.failed + busy.failed == 0, "requests failed")
must(lost == 0, "verdicts were lost")
must(doubled == 0, "verdicts were doubled")
must(median("fds", 0.85, 1) <= median("fds", 0.1, 0.25) + 4, "descriptors leak")
if not LAX then
  must(engine_growth <= MEMORY_GROWTH, "the engine's memory grows")
  must(evaluator_growth <= MEMORY_GROWTH, "the evaluator's memory grows")
  must(busy.p99 <= LATENCY_GROWTH * quiet.p99, "requests wait for reloads")
end

e:stop { "refused, the old generation goes on" }
os.execute("rm -rf " .. dir)
for _, text in ipairs(wrong) do print(text) end
print(#faults == 0 and "all of it holds" or "FAILED: " .. table.concat(faults, "; "))
os.exit(#faults == 0 and 0 or 1)
