--- Back-fill from a local node beside `ingest` of the same transactions from a file: transactions a second, and the ratio.
---
---   luajit tests/bench/follow.lua [BLOCKS]        of the simulator; default 400

package.path = "./?.lua;" .. package.path
local engine = require "tests.support.engine"
local socket = require "socket"

local blocks = tonumber(arg[1]) or 400
local dir = engine.tmpdir()
local function path(name) return dir .. "/" .. name end

assert(os.execute(string.format("%s simulate --seed 1 --blocks %d --out %s 2>/dev/null", engine.bin, blocks, path "sim.ndjson")) == 0)
os.execute(string.format("build/bench/follow_node %s %s %s >/dev/null 2>&1 & echo $! >%s", path "sim.ndjson", path "lines.ndjson", path "port",
  path "pid"))
engine.wait("the node", 60, function() return (engine.read(path "port") or ""):match "%d+ %d+\n" end)
local address, head = engine.read(path "port"):match "^(%S+) (%d+)"
head = tonumber(head)

local e
local function measure()
e = engine.start()
local from = socket.gettime()
local code, text = engine.run(string.format("%s ingest --set general.data_dir=%s %s", engine.bin, e.dir, path "lines.ndjson"))
assert(code == 0, text)
local ingest_s = socket.gettime() - from
local n = tonumber(e:sql "SELECT count(*) FROM transactions")
e:stop { "." }

engine.write(path "conf.lua", string.format('return { source = { { name = "b", chain_id = 1, start = 1, poll_ms = 20, '
  .. 'endpoints = { "http://%s" } } } }', address))
e = engine.start { env = "CHAINWATCH_CONFIG=" .. path "conf.lua", wait = false }
from = nil
engine.wait("the back-fill", 600, function()
  if not e.port then
    local port = (engine.read(e.dir .. "/engine.pid") or ""):match "\n127%.0%.0%.1:(%d+)\n"
    if not port then return false end
    e.port, e.key = tonumber(port), engine.read(e.dir .. "/admin.key"):gsub("%s+$", "")
  end
  from = from or socket.gettime()
  local _, body = e:get "/api/v1/sources"
  return body.sources[1].block == head
end)
local follow_s = socket.gettime() - from
assert(tonumber(e:sql "SELECT count(*) FROM transactions") == n)
e:stop { "." }
print(string.format("%-44s %10.0f /s", "ingest of a file (" .. n .. " transactions, receipts)", n / ingest_s))
print(string.format("%-44s %10.0f /s", "back-fill from a local node", n / follow_s))
print(string.format("%-44s %10.2f    (goal: at least 0.80)", "ratio", ingest_s / follow_s))
end

local ok, err = pcall(measure)
if not ok and e and e:alive() then e:kill "TERM" end
os.execute("kill " .. engine.read(path "pid"))
os.execute("rm -rf " .. dir)
if not ok then error(err, 0) end
