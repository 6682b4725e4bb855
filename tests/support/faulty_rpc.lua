--- A JSON-RPC node that misbehaves: hands requests on to a real one, in the mood that a file names.
---
---   luajit tests/support/faulty_rpc.lua DIR UPSTREAM_PORT     writes its port to DIR/port, reads DIR/mood at each request
---
--- Moods: ok, 500, 429 (Retry-After: 1), garbage, cut, close, overload, nobatch, noreceipts, slow, or "chaos SEED": one of the
--- first seven or ok at random. One request a connection.

local socket = require "socket"
local dir, upstream = arg[1], tonumber(arg[2])
local server = assert(socket.bind("127.0.0.1", 0, 64))
local _, port = server:getsockname()

local function read(path)
  local f = io.open(path)
  if not f then return "ok" end
  local text = f:read("*l") or "ok"
  f:close()
  return text
end

local f = assert(io.open(dir .. "/port.new", "w"))
f:write(port, "\n")
f:close()
os.rename(dir .. "/port.new", dir .. "/port")

local seeded
local KINDS = { "500", "429", "garbage", "cut", "close", "overload", "noreceipts" }
local function mood()
  local text = read(dir .. "/mood")
  local seed = text:match("^chaos (%d+)")
  if not seed then return text end
  if seeded ~= seed then
    math.randomseed(tonumber(seed))
    seeded = seed
  end
  return math.random() < 0.6 and "ok" or KINDS[math.random(#KINDS)]
end

local function reply(c, status, body, extra, cut)
  local text = string.format("HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%sConnection: close\r\n\r\n%s",
    status, #body, extra or "", body)
  c:send(cut and text:sub(1, #text - math.floor(#body / 2) - 1) or text)
end

local function forward(body)
  local up = assert(socket.connect("127.0.0.1", upstream))
  up:settimeout(20)
  up:send(string.format("POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
    .. "Connection: close\r\n\r\n%s", #body, body))
  local text, _, partial = up:receive("*a")
  up:close()
  return (text or partial):match("\r\n\r\n(.*)$") or ""
end

local function serve(c)
  local size = 0
  c:settimeout(5)
  while true do
    local line = c:receive("*l")
    if not line then return end
    if line == "" then break end
    size = tonumber(line:lower():match("^content%-length: (%d+)")) or size
  end
  local body = c:receive(size)
  if not body then return end
  local kind = mood()
  if kind == "500" then return reply(c, "500 Oops", "it broke") end
  if kind == "429" then return reply(c, "429 Too Many Requests", "", "Retry-After: 1\r\n") end
  if kind == "garbage" then return reply(c, "200 OK", "<html>not today</html>") end
  if kind == "close" then return end
  if kind == "overload" then
    return reply(c, "200 OK", '{"jsonrpc":"2.0","id":null,"error":{"code":-32005,"message":"limit exceeded"}}')
  end
  if kind == "nobatch" and body:sub(1, 1) == "[" then
    return reply(c, "200 OK", '{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"batches are not taken"}}')
  end
  if kind == "noreceipts" or kind == "nobatch" then body = body:gsub("eth_getBlockReceipts", "eth_noSuchThing") end
  if kind == "slow" then socket.sleep(3) end
  reply(c, "200 OK", forward(body), nil, kind == "cut")
end

while true do
  local c = server:accept()
  if c then
    pcall(serve, c)
    c:close()
  end
end
