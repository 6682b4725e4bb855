--- Malformed and odd HTTP requests, thousands of them, made here. Each is { name, bytes, allowed statuses, close = true if
--- the connection must end, half = true if the client closes its side }.

local M = {}

local H = "Host: test\r\n"
local CHUNKED = "Transfer-Encoding: chunked\r\n"

local function set(...)
  local s = {}
  for _, v in ipairs { ... } do s[v] = true end
  return s
end

local BAD = set(400)
local TARGETS = { "/health", "/api/v1/predict", "/nothing/here" }

--- The statuses of a request that is well-formed: whatever the routes say, no failure of the server.
local FINE = set(200, 202, 204, 400, 401, 403, 404, 405, 409, 413, 415, 422, 429)

local function add(list, name, bytes, allowed, more)
  local case = more or {}
  case.name, case.bytes, case.allowed = name, bytes, allowed
  list[#list + 1] = case
end

local function post(target, fields, body) return "POST " .. target .. " HTTP/1.1\r\n" .. H .. fields .. "\r\n" .. (body or "") end

--- Everything by which two parsers could see different requests (RFC 9112): 400 and the end of the connection.
local function framing(list)
  local fields = {
    "Content-Length: 3\r\n" .. CHUNKED, CHUNKED .. "Content-Length: 3\r\n", "Content-Length: 3\r\nContent-Length: 4\r\n",
    "Content-Length: 3\r\nContent-Length: 3\r\n", "Content-Length: 3, 3\r\n", "Content-Length: 3,4\r\n", "Content-Length: +3\r\n",
    "Content-Length: -3\r\n", "Content-Length: 0x3\r\n", "Content-Length: 3.0\r\n", "Content-Length: 3 3\r\n", "Content-Length: \r\n",
    "Content-Length: 99999999999999999999\r\n", "Content-Length: three\r\n", "Content-Length: \"3\"\r\n", "Content-Length:\t3\v\r\n",
    "Content-Length : 3\r\n", "Content-Length\t: 3\r\n", "Content-Length: 3\n", "Content-Length:\r\n 3\r\n",
    "Transfer-Encoding: xchunked\r\n", "Transfer-Encoding: chunked, chunked\r\n", "Transfer-Encoding: chunked, identity\r\n",
    "Transfer-Encoding: identity\r\n", "Transfer-Encoding: \r\n", "Transfer-Encoding: chunked\r\n" .. CHUNKED,
    "Transfer-Encoding : chunked\r\n", "Transfer-Encoding:\r\n chunked\r\n", "Transfer-Encoding: \vchunked\r\n",
    "Transfer-Encoding: chunked;q=1\r\n", "Transfer-Encoding: \"chunked\"\r\n", "Transfer-Encoding: chunked,\r\n",
    "Transfer-Encoding: ,chunked\r\n", "Transfer-Encoding: chunked\n", "Transfer-Encoding: chunked\0\r\n", " " .. CHUNKED,
    "X: y\r\n folded\r\n", "X: y\r\n\tfolded\r\n", "\r " .. CHUNKED, "X\0: y\r\n", "X: \0\r\n", "X: a\rb\r\n", "X: a\nb: c\r\n", ": nameless\r\n",
    "X y\r\n", "X\x7f: y\r\n", "X: \x7f\r\n", "X: \x01\r\n", "(x): y\r\n", "X@: y\r\n", "\xc3\xa4: y\r\n", "Host: other\r\n", "Host:\r\n",
    "Content-Type: application/json\r\nContent-Type: text/plain\r\n",
  }
  for _, target in ipairs(TARGETS) do
    for i, f in ipairs(fields) do
      add(list, "fields " .. i .. " at " .. target, post(target, f, "abc"), BAD, { close = true })
      add(list, "fields " .. i .. ", last, at " .. target, post(target, "A: b\r\n" .. f), BAD, { close = true })
    end
    add(list, "TE in 1.0 at " .. target, "POST " .. target .. " HTTP/1.0\r\n" .. H .. CHUNKED .. "\r\n0\r\n\r\n", BAD, { close = true })
    add(list, "no Host at " .. target, "GET " .. target .. " HTTP/1.1\r\n\r\n", BAD, { close = true })
    for _, coding in ipairs { "gzip, chunked", "identity, chunked", "deflate,chunked", "x, chunked" } do
      add(list, coding .. " at " .. target, post(target, "Transfer-Encoding: " .. coding .. "\r\n", "0\r\n\r\n"), set(501), { close = true })
    end
  end
end

--- Bodies in chunks that are not chunks. Also where there is no such path: the framing is looked at first.
local function chunks(list)
  local bodies = {
    "g\r\n", "\r\n", " 3\r\nabc\r\n0\r\n\r\n", "3 \r\nabc\r\n0\r\n\r\n", "+3\r\nabc\r\n0\r\n\r\n", "-3\r\nabc\r\n0\r\n\r\n",
      "0x3\r\nabc\r\n0\r\n\r\n",
    "3\nabc\r\n0\r\n\r\n", "3\r\nabc\n0\r\n\r\n", "3\r\nabcd\r\n0\r\n\r\n", "3\r\nab\r\n0\r\n\r\n", "3\rabc\r\n", "3\r\nabc\r0\r\n\r\n",
    "3\r\nabc\r\n0\n\r\n", "3\r\nabc\r\n0\r\n\n", "3\r\nabc\r\n0\r\nx\r\n\r\n", "3\r\nabc\r\n0\r\n x: y\r\n\r\n", "3\r\nabc\r\n0\r\nx : y\r\n\r\n",
    "3\r\nabc\r\n0\r\nContent-Length: 3\r\n\r\n", "3\r\nabc\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n", "3\r\nabc\r\n0\r\nHost: x\r\n\r\n",
    "3;\r\nabc\r\n0\r\n\r\n", "3;a=\r\nabc\r\n0\r\n\r\n", "3;a=\"\r\nabc\r\n0\r\n\r\n", "3;a b\r\nabc\r\n0\r\n\r\n", "3;a=\"\n\"\r\nabc\r\n0\r\n\r\n",
    "3;" .. ("a"):rep(2000) .. "\r\nabc\r\n0\r\n\r\n", ("0"):rep(17) .. "3\r\nabc\r\n0\r\n\r\n", "ffffffffffffffff\r\nabc",
      "10000000000000000\r\nabc",
    "3\r\nabc\r\n" .. ("1;" .. ("x"):rep(900) .. "\r\na\r\n"):rep(20) .. "0\r\n\r\n", "3\r\nabc\r\n\r\n0\r\n\r\n", "\0003\r\nabc\r\n",
      "3\0\r\nabc\r\n0\r\n\r\n",
    "3,3\r\nabc\r\n0\r\n\r\n", "3#\r\nabc\r\n0\r\n\r\n", "\xef\xbc\x93\r\nabc\r\n0\r\n\r\n",
  }
  for _, target in ipairs(TARGETS) do
    for i, body in ipairs(bodies) do
      add(list, "chunks " .. i .. " at " .. target, post(target, CHUNKED, body), BAD, { close = true })
      add(list, "chunks " .. i .. ", with a close, at " .. target, post(target, CHUNKED .. "Connection: close\r\n", body), BAD, { close = true })
    end
    add(list, "chunks too long at " .. target, post(target, CHUNKED, "7fffffffffffffff\r\nabc"), set(400, 413), { close = true })
    for i, body in ipairs { "3\r\nabc\r\n0\r\n\r\n", "003\r\nabc\r\n000\r\n\r\n", "A\r\n0123456789\r\n0\r\n\r\n",
      "3;a;b=c;d=\"e\\\"f\"\r\nabc\r\n0\r\n\r\n",
      "1\r\na\r\n2\r\nbc\r\n0\r\nX-Sum: 1\r\n\r\n" } do
      add(list, "good chunks " .. i .. " at " .. target, post(target, CHUNKED .. "X-API-Key: nobody\r\n", body), FINE)
    end
  end
end

local function request_lines(list)
  local bad = { "GET", "GET /", "GET  /health HTTP/1.1", "GET /health  HTTP/1.1", "GET\t/health HTTP/1.1", " GET /health HTTP/1.1",
    "GET /health HTTP/1.1 ", "GET /health HTTP/1", "GET /health HTTP/1.1.1", "GET /health http/1.1", "GET /health HTTP/11", "GET /health HTTP /1.1",
    "GET /health HTTPS/1.1", "GET /health ICE/1.0", "GET /health HTTP/1.x", "GET /health HTTP/x.1", "GET /hea lth HTTP/1.1", "GET /health\0 HTTP/1.1",
    "GET /health# HTTP/1.1", "GET health HTTP/1.1", "GET ?x HTTP/1.1", "GET * HTTP/1.1", "GET //\xff HTTP/1.1", "GET /\xc3\xa4 HTTP/1.1",
      "GET /% HTTP/1.1",
    "GET /%g0 HTTP/1.1", "GET /%0 HTTP/1.1", "GET /%00 HTTP/1.1", "GET /health%00.txt HTTP/1.1", "GET test:80 HTTP/1.1", "GET ftp://test/ HTTP/1.1",
    "GET http:///health HTTP/1.1", "GET http://u@test/health HTTP/1.1", "GET http://other/health HTTP/1.1", "GET http://test:x/ HTTP/1.1",
    "G(T /health HTTP/1.1", "GET/health HTTP/1.1", "\"GET\" /health HTTP/1.1", "\xc3\xa4 / HTTP/1.1", "GET / HTTP/1.1\r", "GET /\r HTTP/1.1",
    "GET http://[::1/ HTTP/1.1", "GET \\health HTTP/1.1", "POST * HTTP/1.1", "GET /%ff HTTP/1.1" }
  for _, line in ipairs(bad) do
    add(list, "line " .. line, line .. "\r\n" .. H .. "\r\n", BAD, { close = true })
    add(list, "line with LF " .. line, line .. "\n" .. H .. "\n", BAD, { close = true })
    add(list, "line with CR " .. line, line .. "\r" .. "Host: test\r\r", BAD, { close = true })
  end
  for _, version in ipairs { "0.9", "1.2", "1.9", "2.0", "3.0", "9.9", "0.0" } do
    add(list, "version " .. version, "GET /health HTTP/" .. version .. "\r\n" .. H .. "\r\n", set(505, 400), { close = true })
  end
  for _, method in ipairs { "CONNECT", "TRACE", "PROPFIND", "get", "Get", "GETS", "GE", "BREW", "M-SEARCH", ("A"):rep(1000), "PRI", "PURGE",
    "!#$%&'*+-.^_`|~" } do
    add(list, "method " .. method, method .. " /health HTTP/1.1\r\n" .. H .. "\r\n", set(501), { close = true })
  end
  for _, bytes in ipairs { "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\22\3\1\2\0\1\0\1\252\3\3", "\0", "\r\n\r\n\r\n", "\n", "SSH-2.0-x\r\n",
    "GET /health\r\n\r\n",
    "{\"json\": 1}\r\n", "\128\46\1\3\1" } do
    add(list, "not HTTP " .. bytes, bytes, set(400, 505), { close = true, half = true })
  end
  for _, t in ipairs { "/health", "http://test/health", "HTTP://TEST/health", "http://test:80/health", "/health?", "/health?a=b&c",
    "/health?%41=%42", "/%68ealth" } do
    add(list, "good target " .. t, "GET " .. t .. " HTTP/1.1\r\n" .. H .. "\r\n", set(200, 400))
  end
  for _, t in ipairs { "/../health", "/./health", "//health", "/health/", "/health/..", "/api/v1/%2e%2e/users", "/api/v1/..%2fusers",
    "/api/v1/users%2f1",
    "/API/V1/users", "/api/v1/users;a=b", "/health%20", "/%2fhealth", "/..%5c..%5cetc", "/%e2%80%ae", "/" .. ("a/"):rep(2000),
      "/cgi-bin/%252e%252e/" } do
    add(list, "path " .. t:sub(1, 40), "GET " .. t .. " HTTP/1.1\r\n" .. H .. "\r\n", set(404, 401, 400))
  end
end

local function sizes(list)
  for _, n in ipairs { 8150, 9000, 65536 } do
    add(list, "target of " .. n, "GET /" .. ("a"):rep(n) .. " HTTP/1.1\r\n" .. H .. "\r\n", n < 8170 and set(404) or set(414), { close = n > 8170 })
  end
  for _, n in ipairs { 1000, 15000, 17000, 200000 } do
    add(list, "field of " .. n, "GET /health HTTP/1.1\r\n" .. H .. "X: " .. ("a"):rep(n) .. "\r\n\r\n", n < 16000 and set(200) or set(431),
      { close = n > 16000 })
    add(list, "field without an end of " .. n, "GET /health HTTP/1.1\r\n" .. H .. ("a"):rep(n), n < 16000 and set(400) or set(431),
      { close = true, half = true })
    add(list, "name of " .. n, "GET /health HTTP/1.1\r\n" .. H .. ("a"):rep(n) .. ": b\r\n\r\n", n < 16000 and set(200) or set(431))
  end
  for _, n in ipairs { 10, 98, 101, 1000 } do
    add(list, n .. " fields", "GET /health HTTP/1.1\r\n" .. H .. ("X: y\r\n"):rep(n) .. "\r\n", n < 100 and set(200) or set(431), { close = n > 100 })
    add(list, n .. " trailers", post("/health", CHUNKED, "0\r\n" .. ("X: y\r\n"):rep(n) .. "\r\n"), n < 100 and set(401, 404,
      405) or set(431), { close = n > 100 })
  end
  add(list, "a huge body announced", post("/api/v1/auth/login", "Content-Length: 99999999999\r\n"), set(413), { close = true })
  add(list, "a huge body announced, expected", post("/api/v1/auth/login", "Content-Length: 99999999999\r\nExpect: 100-continue\r\n"),
    set(413), { close = true })
  for _, expect in ipairs { "200-ok", "", "100-continue, x", "100" } do
    add(list, "Expect " .. expect, post("/api/v1/auth/login", "Content-Length: 2\r\nExpect: " .. expect .. "\r\n", "{}"), set(417), { close = true })
  end
  for _, up in ipairs { "websocket", "h2c", "HTTP/2.0", "TLS/1.0" } do
    add(list, "Upgrade " .. up,
      "GET /health HTTP/1.1\r\n" .. H .. "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: " .. up
        .. "\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n", set(200))
  end
end

--- A request cut off at each byte, and the client's side closed: 400, or nothing where nothing had begun.
local function cut_off(list)
  local whole = { "GET /health HTTP/1.1\r\n" .. H .. "X-Y: z\r\n\r\n", post("/api/v1/auth/login",
    "Content-Type: application/json\r\n" .. CHUNKED, "2\r\n{}\r\n0\r\n\r\n"),
    post("/nothing", "Content-Length: 5\r\n", "abcde") }
  for w, bytes in ipairs(whole) do
    for n = 1, #bytes - 1 do
      add(list, "request " .. w .. " cut off at " .. n, bytes:sub(1, n), set(400, 404), { close = true, half = true })
    end
  end
end

--- A whole request, changed in one place: anything may come of it but a failure or a hang.
local function mutations(list, count)
  local seed = 1
  local function random(n)   -- Park and Miller; the same everywhere
    seed = seed * 16807 % 2147483647
    return seed % n + 1
  end
  local bases = { "GET /health HTTP/1.1\r\n" .. H .. "Accept: */*\r\n\r\n", post("/api/v1/auth/login",
    "Content-Type: application/json\r\nContent-Length: 2\r\n", "{}"),
    post("/nothing", CHUNKED, "3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n"), "OPTIONS * HTTP/1.1\r\n" .. H .. "\r\n",
    "GET http://test/health?a=%41 HTTP/1.1\r\n" .. H .. "Connection: close\r\n\r\n" }
  local pieces = { "\r", "\n", "\r\n", "\0", " ", "\t", ":", "%", "%00", ",", ";", "\"", "/", "?", "#", "\127", "\128", "\255", "0", "9",
    "HTTP/1.1", "chunked", H,
    CHUNKED, "Content-Length: 1\r\n", "GET / HTTP/1.1\r\n\r\n" }
  for _ = 1, count do
    local base, piece = bases[random(#bases)], pieces[random(#pieces)]
    local at, how = random(#base), random(3)
    local changed = how == 1 and base:sub(1, at - 1) .. piece .. base:sub(at) or how == 2 and base:sub(1, at - 1) .. piece .. base:sub(at + 1)
      or base:sub(1, at - 1) .. base:sub(at + random(4))
    add(list, "mutation", changed, nil, { half = true })
  end
end

function M.all(count)
  local list = {}
  framing(list)
  chunks(list)
  request_lines(list)
  sizes(list)
  cut_off(list)
  mutations(list, count)
  return list
end

return M
