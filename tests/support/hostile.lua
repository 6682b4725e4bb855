--- Chains of nodes that misbehave (hostile_node.mjs), for scenarios.
---
---   local nodes = hostile.start { seed = 1, chains = 4 }
---   nodes:op("grow", { chain = 0, n = 3 })
---   nodes:url(0)  nodes:stop()

local cjson = require "cjson"
local socket = require "socket"
local engine = require "tests.support.engine"

local M = {}
local Nodes = {}
Nodes.__index = Nodes

function M.start(opts)
  local nodes = setmetatable({ dir = engine.tmpdir(), chains = opts.chains or 1 }, Nodes)
  os.execute(string.format("setsid node tests/support/hostile_node.mjs %d %d >%s/port 2>%s/errors & echo $! >%s/pid", opts.seed or 1,
    nodes.chains, nodes.dir, nodes.dir, nodes.dir))
  nodes.port = engine.wait("the nodes", 20, function() return tonumber(engine.read(nodes.dir .. "/port")) end)
  return nodes
end

function Nodes:url(chain, place)
  return string.format("http://127.0.0.1:%d/c/%d%s", self.port, chain, place and "/" .. place or "")
end

function Nodes:op(op, what)
  what = what or {}
  what.op = op
  local c, body = assert(socket.connect("127.0.0.1", self.port)), cjson.encode(what)
  c:settimeout(20)
  c:send(string.format("POST /control HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", #body, body))
  local text, err, partial = c:receive("*a")
  c:close()
  local status, answer = engine.parse(text or partial, err)
  assert(status == 200, op .. ": " .. tostring(answer))
  return answer
end

--- An address that pays in transactions of the chain; 0 to 5.
function Nodes.address(chain, i)
  return string.format("0x%02xaa%s%04x", chain + 1, string.rep("0", 32), i)
end

function Nodes:stop()
  os.execute("kill " .. engine.read(self.dir .. "/pid"))
  local said = engine.read(self.dir .. "/errors")
  os.execute("rm -rf " .. self.dir)
  assert(said == "", said)
end

return M
