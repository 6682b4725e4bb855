--- A Kafka cluster (support/kafka/mock.c) for scenarios.
---
---   local bus = kafka.start { topic = "txs", partitions = 3 }
---   bus:produce(0, text)  bus:flush()  bus:committed "group"  bus:stop()

local socket = require "socket"
local engine = require "tests.support.engine"

local M = {}
local Bus = {}
Bus.__index = Bus

--- False: librdkafka is not installed.
function M.available()
  return os.execute "pkg-config --exists rdkafka" == 0
end

function M.start(opts)
  local bus = setmetatable({ dir = engine.tmpdir() }, Bus)
  local code, said = engine.run("cc -std=gnu17 -O1 -Wall -Wextra -Werror -o " .. bus.dir
    .. "/mock tests/support/kafka/mock.c $(pkg-config --cflags --libs rdkafka)")
  assert(code == 0, said)
  os.execute(string.format("mkfifo %s/in; setsid %s/mock %s %d <%s/in >%s/out 2>%s/errors & exec 3>%s/in; sleep 600 >&3 & echo $! >%s/pid",
    bus.dir, bus.dir, opts.topic, opts.partitions, bus.dir, bus.dir, bus.dir, bus.dir, bus.dir))
  local port
  engine.wait("the cluster", 20, function()
    bus.brokers, port = (engine.read(bus.dir .. "/out") or ""):match "^(%S+) (%d+)\n"
    return port
  end)
  bus.control = assert(socket.connect("127.0.0.1", tonumber(port)))
  bus.control:settimeout(20)
  return bus
end

function Bus:ask(line)
  self.control:send(line .. "\n")
  return assert(self.control:receive "*l")
end

function Bus:produce(partition, text)
  assert(self.control:send("produce " .. partition .. " " .. text .. "\n"))
end

function Bus:flush() assert(self:ask "flush" == "ok") end
function Bus:committed(group) return tonumber(self:ask("committed " .. group)) end

function Bus:stop()
  self.control:close()
  os.execute("kill " .. engine.read(self.dir .. "/pid"))     -- closes its standard input
  os.execute("rm -rf " .. self.dir)
end

return M
