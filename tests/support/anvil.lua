--- A real EVM node (anvil, from npm) on a free port, for scenarios.
---
---   local node = anvil.start { chain_id = 31337 }
---   node:rpc("anvil_mine", "0x4")
---   node:stop()

local socket = require "socket"
local cjson = require "cjson"
local engine = require "tests.support.engine"

local M = {}
local Node = {}
Node.__index = Node

M.bin = "tests/tools/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"

function M.available()
  return engine.read(M.bin:gsub("bin/anvil$", "package.json")) ~= nil
end

--- opts: chain_id, port (kept from an earlier start), args
function M.start(opts)
  opts = opts or {}
  local node = setmetatable({ dir = engine.tmpdir(), chain_id = opts.chain_id or 31337 }, Node)
  local log = node.dir .. "/anvil.log"
  os.execute(string.format("HOME=%s setsid %s --host 127.0.0.1 --port %d --chain-id %d --no-mining --accounts 10 %s >%s 2>&1 & echo $! >%s/pid",
    node.dir, M.bin, opts.port or 0, node.chain_id, opts.args or "", log, node.dir))
  node.pid = tonumber(engine.read(node.dir .. "/pid"))
  engine.wait("anvil", 20, function()
    node.port = tonumber((engine.read(log) or ""):match("Listening on 127%.0%.0%.1:(%d+)"))
    return node.port
  end)
  node.url = "http://127.0.0.1:" .. node.port
  return node
end

--- The result; raises on an error of the node. `...` are the parameters.
function Node:rpc(method, ...)
  return M.call(self.port, method, ...)
end

function M.call(port, method, ...)
  local c = assert(socket.tcp())
  c:settimeout(20)
  assert(c:connect("127.0.0.1", port))
  -- cjson cannot tell an empty list from an empty object; no method here takes the latter.
  local params = select("#", ...) > 0 and cjson.encode { ... }:gsub("{}", "[]") or "[]"
  local body = string.format('{"jsonrpc":"2.0","id":1,"method":"%s","params":%s}', method, params)
  c:send(string.format("POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
    .. "Connection: close\r\n\r\n%s", #body, body))
  local text, err, partial = c:receive("*a")
  c:close()
  local status, answer = engine.parse(text or partial, err)
  assert(status == 200 and type(answer) == "table", method .. ": " .. tostring(status) .. " " .. tostring(answer))
  if answer.error then error(method .. ": " .. cjson.encode(answer.error), 2) end
  return answer.result
end

--- Addresses of the funded accounts.
function Node:accounts()
  self.list = self.list or self:rpc "eth_accounts"
  return self.list
end

--- Sends wei (a hex text) and waits for nothing: it is mined with the next block.
function Node:send(from, to, value, data)
  return self:rpc("eth_sendTransaction", { from = from, to = to, value = value, data = data, gas = "0x186a0",
    gasPrice = "0x77359400" })
end

function Node:mine(n)
  return self:rpc("anvil_mine", string.format("0x%x", n or 1))
end

function Node:head()
  return tonumber(self:rpc "eth_blockNumber")
end

function Node:stop(signal)
  if not self.pid then return end
  os.execute("kill -" .. (signal or "TERM") .. " " .. self.pid .. " 2>/dev/null")
  engine.wait("anvil to stop", 10, function()
    local stat = engine.read("/proc/" .. self.pid .. "/stat")
    return stat == nil or stat:match("%) Z") ~= nil
  end)
  self.pid = nil
  os.execute("rm -rf " .. self.dir)
end

return M
