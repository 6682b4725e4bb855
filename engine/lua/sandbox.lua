-- sandbox.lua - the base of every script's environment, built once per VM. Compiled into the engine, not guarded.
--
-- Gets the host's functions and returns base, freeze, new_env, tostring. Functions that grow with their input count
-- ticks by `spend`; nothing here calls Lua from C but pcall, so no recursion runs through the C stack.
local host = ...
local rules, max_string, max_values = host.rules, host.max_string, host.max_values
local stopped, raise, overflow = host.stopped, host.raise, host.overflow
local error, type, next, rawget, rawset, rawequal = error, type, next, rawget, rawset, rawequal
local select, tonumber, getmetatable, setmetatable, pcall = select, tonumber, getmetatable, setmetatable, pcall
local string, math, bit = string, math, bit
local floor, tostring0 = math.floor, tostring

-- host.work is a C function: with the JIT on reached through FFI, and then it cannot raise itself.
local spend = host.work
if host.jit then
  local work = host.work
  spend = function(n)
    if work(n) ~= 0 then raise() end
  end
end

local function bad(argument, name, expected, value, level)
  error("bad argument #" .. argument .. " to '" .. name .. "' (" .. expected .. " expected, got "
    .. (value == nil and "no value" or type(value)) .. ")", (level or 2) + 1)
end

-- --- frozen views ---

local function refuse_write(_, key)
  error("cannot change a read-only table (field " .. (type(key) == "string" and '"' .. key .. '"' or type(key)) .. ")",
    2)
end

local function freeze(t)
  return setmetatable({}, { __index = t, __newindex = refuse_write, __metatable = false })
end

-- A table that may be written by raw functions: not one of ours, not one that hides its metatable.
local function writable(t, name)
  if type(t) ~= "table" then bad(1, name, "table", t, 3) end
  if getmetatable(t) == false then error("'" .. name .. "' cannot change a read-only table", 3) end
end

-- --- errors: a stop is never caught ---

local function check(ok, ...)
  if stopped() ~= 0 then raise() end
  if not ok and overflow(...) then raise() end
  return ok, ...
end

local function safe_pcall(f, ...)
  return check(pcall(f, ...))
end

local function handled(handler, ok, ...)
  if ok then return ok, ... end
  return false, select(2, safe_pcall(handler, ...))
end

-- The handler runs after the stack is unwound, so an error in it and a stop behave like everywhere else.
local function safe_xpcall(f, handler, ...)
  return handled(handler, safe_pcall(f, ...))
end

-- --- text of values: no addresses ---

local function safe_tostring(...)
  local v = ...
  local kind = type(v)

  if select("#", ...) == 0 then bad(1, "tostring", "value", nil) end
  if kind == "string" then return v end
  if kind == "number" or kind == "boolean" or kind == "nil" then return tostring0(v) end
  local mt = getmetatable(v)
  local f = type(mt) == "table" and rawget(mt, "__tostring")
  if f then
    local s = f(v)
    if type(s) ~= "string" then error("'tostring' must return a string", 2) end
    return s
  end
  return kind
end

-- --- sorting: stable merge sort, one tick a comparison ---

local function less(a, b)
  local kind = type(a)
  if kind == "string" then
    if #a > 4096 then spend(#a / 1024) end
  elseif kind ~= "number" and kind ~= "table" then
    kind = nil
  end
  -- To the author this happened in his call of sort.
  if kind ~= type(b) then error("attempt to compare " .. type(b) .. " with " .. type(a), 5) end
  return a < b
end

local function merge(from, to, low, mid, high, before)
  local i, j = low, mid + 1
  for k = low, high do
    spend(1)
    if i <= mid and (j > high or not before(from[j], from[i])) then
      to[k] = from[i]
      i = i + 1
    else
      to[k] = from[j]
      j = j + 1
    end
  end
end

local function sort_array(t, n, before)
  local from, to, width = {}, {}, 1
  for i = 1, n do from[i] = t[i] end
  while width < n do
    for low = 1, n, 2 * width do
      local mid = low + width - 1
      local high = mid + width
      if mid > n then mid = n end
      if high > n then high = n end
      merge(from, to, low, mid, high, before)
    end
    from, to, width = to, from, 2 * width
  end
  for i = 1, n do t[i] = from[i] end
end

local function sort(t, before)
  writable(t, "sort")
  if before ~= nil and type(before) ~= "function" then bad(2, "sort", "function", before) end
  local n = #t
  for i = 1, n do
    if t[i] == nil then error("'sort' needs a list without holes", 2) end
  end
  sort_array(t, n, before or less)
end

-- --- pairs in the order of the keys ---

local RANK = { number = 1, string = 2, boolean = 3 }

local function key_before(a, b)
  local ra, rb = RANK[type(a)], RANK[type(b)]
  if ra ~= rb then return ra < rb end
  if ra == 3 then return not a and b end
  return less(a, b)
end

local function check_key(key, name, level)
  if RANK[type(key)] == nil then
    error("'" .. name .. "' needs keys that are numbers, strings or booleans, this table has a " .. type(key), level)
  end
end

-- The keys in order, and their number; nil when they are just 1 .. n.
local function ordered_keys(t)
  local keys, n, list = {}, 0, true
  for k in next, t do
    spend(1)
    n = n + 1
    if k ~= n then list = false end
    keys[n] = k
  end
  if list then return nil, n end
  for i = 1, n do check_key(keys[i], "pairs", 4) end
  sort_array(keys, n, key_before)
  return keys, n
end

local function ordered_pairs(t)
  if type(t) ~= "table" then bad(1, "pairs", "table", t) end
  local keys, n = ordered_keys(t)
  local i = 0
  return function()
    while i < n do
      i = i + 1
      local k = keys and keys[i] or i
      if keys then k = keys[i] end
      local v = rawget(t, k)
      if v ~= nil then return k, v end
      spend(1)
    end
  end, t, nil
end

-- The first key after `key` in the order of pairs; one tick a key of the table.
local function ordered_next(t, key)
  if type(t) ~= "table" then bad(1, "next", "table", t) end
  local best
  if key ~= nil then check_key(key, "next", 3) end
  for k in next, t do
    spend(1)
    check_key(k, "next", 3)
    if (key == nil or key_before(key, k)) and (best == nil or key_before(k, best)) then best = k end
  end
  if best == nil then return nil end
  return best, rawget(t, best)
end

-- --- base functions with limits ---

local function safe_unpack(t, i, j)
  if type(t) ~= "table" then bad(1, "unpack", "table", t) end
  i = i == nil and 1 or tonumber(i)
  j = j == nil and #t or tonumber(j)
  if i == nil or j == nil then error("'unpack' needs numbers as limits", 2) end
  -- Written so that NaN is refused too.
  if not (j - i < max_values) then -- luacheck: ignore 581
    error("'unpack' returns at most " .. max_values .. " values", 2)
  end
  return host.unpack(t, i, j)
end

local function safe_rawset(t, k, v)
  writable(t, "rawset")
  return rawset(t, k, v)
end

local function safe_setmetatable(t, mt)
  if type(t) ~= "table" then bad(1, "setmetatable", "table", t) end
  if rules and type(mt) == "table" and rawget(mt, "__mode") ~= nil then
    error("weak tables are not available in rules", 2)
  end
  return setmetatable(t, mt)
end

-- --- table ---

local function insert(t, ...)
  writable(t, "insert")
  local n, at, value = select("#", ...), ...
  if n == 1 then
    t[#t + 1] = at
    return
  end
  local size = #t
  if n ~= 2 then error("wrong number of arguments to 'insert'", 2) end
  if type(at) ~= "number" or at < 1 or at > size + 1 or at ~= floor(at) then
    error("'insert' needs a position between 1 and " .. size + 1, 2)
  end
  spend((size - at) / 16 + 1)
  for i = size, at, -1 do t[i + 1] = t[i] end
  t[at] = value
end

local function remove(t, at)
  writable(t, "remove")
  local size = #t
  if at == nil then at = size end
  if type(at) ~= "number" or at ~= floor(at) then bad(2, "remove", "whole number", at) end
  if at < 1 or at > size then return nil end
  local value = t[at]
  spend((size - at) / 16 + 1)
  for i = at, size - 1 do t[i] = t[i + 1] end
  t[size] = nil
  return value
end

local function maxn(t)
  if type(t) ~= "table" then bad(1, "maxn", "table", t) end
  local max = 0
  for k in next, t do
    spend(1)
    if type(k) == "number" and k > max then max = k end
  end
  return max
end

-- --- string ---

local function text(s, name, argument)
  if type(s) == "string" then return s end
  if type(s) == "number" then return tostring0(s) end
  bad(argument or 1, name, "string", s, 3)
end

local function linear(name)
  local f = string[name]
  return function(s)
    s = text(s, name)
    if #s > 4096 then spend(#s / 1024) end
    return f(s)
  end
end

local function rep(s, n)
  s = text(s, "rep")
  n = tonumber(n)
  if n == nil then error("bad argument #2 to 'rep' (number expected)", 2) end
  if n < 1 or #s == 0 then return "" end
  if not (#s * n <= max_string) then -- luacheck: ignore 581
    error("'rep' returns at most " .. max_string .. " bytes", 2)
  end
  if #s * n > 4096 then spend(#s * n / 1024) end
  return string.rep(s, n)
end

local function byte(s, i, j)
  s = text(s, "byte")
  i = i == nil and 1 or tonumber(i) or error("'byte' needs numbers as positions", 2)
  j = j == nil and i or tonumber(j) or error("'byte' needs numbers as positions", 2)
  if i < 0 then i = #s + i + 1 end
  if j < 0 then j = #s + j + 1 end
  if i < 1 then i = 1 end
  if j > #s then j = #s end
  if j - i >= max_values then error("'byte' returns at most " .. max_values .. " values", 2) end
  return string.byte(s, i, j)
end

local search = host.search

local function gmatch(s, pattern)
  s, pattern = text(s, "gmatch"), text(pattern, "gmatch", 2)
  local at = 1
  local function step(i, j, ...)
    if i == nil then
      at = #s + 2
      return nil
    end
    at = j < i and i + 1 or j + 1
    return ...
  end
  return function()
    if at > #s + 1 then return nil end
    return step(search(s, pattern, at, true))
  end
end

-- A replacement text as a list of literals and capture numbers.
local function parse_replacement(repl)
  local parts, from = {}, 1
  while true do
    local i = string.find(repl, "%", from, true)
    if i == nil then break end
    if i > from then parts[#parts + 1] = string.sub(repl, from, i - 1) end
    local c = string.sub(repl, i + 1, i + 1)
    if c >= "0" and c <= "9" and c ~= "" then
      parts[#parts + 1] = tonumber(c)
    else
      parts[#parts + 1] = c
    end
    from = i + 2
    spend(1)
  end
  if from <= #repl then parts[#parts + 1] = string.sub(repl, from) end
  return parts
end

local function expand(parts, whole, ...)
  local out = {}
  for i = 1, #parts do
    local part = parts[i]
    spend(1)
    if part == 0 then
      out[i] = whole
    elseif type(part) == "number" then
      if part > select("#", ...) then error("invalid capture index in replacement string", 4) end
      out[i] = select(part, ...)
    else
      out[i] = part
    end
  end
  return host.concat(out)
end

local function replace(repl, parts, whole, ...)
  if parts then return expand(parts, whole, ...) end
  if type(repl) == "function" then return repl(...) end
  return repl[(...)]
end

local function gsub(s, pattern, repl, limit)
  s, pattern = text(s, "gsub"), text(pattern, "gsub", 2)
  local kind = type(repl)
  if kind == "number" then repl, kind = tostring0(repl), "string" end
  if kind ~= "string" and kind ~= "function" and kind ~= "table" then
    bad(3, "gsub", "string, function or table", repl)
  end
  local parts = kind == "string" and parse_replacement(repl)
  local out, n, at, count, size = {}, 0, 1, 0, 0
  local anchored = string.sub(pattern, 1, 1) == "^"
  limit = limit == nil and 1 / 0 or tonumber(limit) or error("bad argument #4 to 'gsub' (number expected)", 2)

  local function put(piece)
    size = size + #piece
    if size > max_string then error("'gsub' returns at most " .. max_string .. " bytes", 4) end
    n = n + 1
    out[n] = piece
  end

  local function step(i, j, ...)
    if i == nil then return false end
    local whole = string.sub(s, i, j)
    local value = replace(repl, parts, whole, ...)
    count = count + 1
    if i > at then put(string.sub(s, at, i - 1)) end
    if value == nil or value == false then
      value = whole
    elseif type(value) ~= "string" and type(value) ~= "number" then
      error("invalid replacement value (a " .. type(value) .. ")", 3)
    end
    put(tostring0(value))
    at = j + 1
    if j < i then
      if i <= #s then put(string.sub(s, i, i)) end
      at = i + 1
    end
    return at <= #s + 1 and not anchored
  end

  while count < limit do
    spend(1)
    if not step(search(s, pattern, at)) then break end
  end
  if at <= #s then put(string.sub(s, at)) end
  return host.concat(out), count
end

-- --- the base ---

local lib_string = {
  byte = byte, char = string.char, find = host.find, format = host.format, gmatch = gmatch, gsub = gsub,
  len = string.len, lower = linear("lower"), match = host.match, rep = rep, reverse = linear("reverse"),
  sub = string.sub, upper = linear("upper"),
}
local lib_table = { concat = host.concat, insert = insert, maxn = maxn, remove = remove, sort = sort }
local lib_math = {}
for _, name in ipairs {
  "abs", "acos", "asin", "atan", "atan2", "ceil", "cos", "cosh", "deg", "exp", "floor", "fmod", "frexp", "huge",
  "ldexp", "log", "log10", "max", "min", "modf", "pi", "pow", "rad", "sin", "sinh", "sqrt", "tan", "tanh",
} do
  lib_math[name] = math[name]
end
local lib_bit = {}
for _, name in ipairs {
  "arshift", "band", "bnot", "bor", "bswap", "bxor", "lshift", "rol", "ror", "rshift", "tobit", "tohex",
} do
  lib_bit[name] = bit[name]
end
if not rules then lib_math.random = math.random end

local base = {
  assert = assert, error = error, getmetatable = getmetatable, ipairs = ipairs, next = rules and ordered_next or next,
  pairs = rules and ordered_pairs or pairs, pcall = safe_pcall, rawequal = rawequal, rawget = rawget,
  rawset = safe_rawset, select = select, setmetatable = safe_setmetatable, tonumber = tonumber,
  tostring = safe_tostring, type = type, unpack = safe_unpack, xpcall = safe_xpcall,
  string = freeze(lib_string), table = freeze(lib_table), math = freeze(lib_math), bit = freeze(lib_bit),
}

local FORBIDDEN = {}
for _, name in ipairs {
  "io", "os", "debug", "ffi", "jit", "package", "require", "load", "loadstring", "loadfile", "dofile", "coroutine",
  "collectgarbage", "gcinfo", "newproxy", "getfenv", "setfenv", "module", "print", "_G",
} do
  FORBIDDEN[name] = true
end

setmetatable(base, {
  __index = function(_, name)
    if type(name) == "string" and FORBIDDEN[name] then
      error('"' .. name .. '" is not available in ' .. (rules and "rules" or "scripts"), 2)
    end
    error("variable " .. (type(name) == "string" and '"' .. name .. '"' or "?") .. " is not declared", 2)
  end,
})

local function refuse_global(_, name)
  error('cannot set global "' .. tostring0(name) .. '"; use a local', 2)
end

local function new_env()
  return setmetatable({}, { __index = base, __newindex = refuse_global, __metatable = false })
end

-- Methods of strings are the limited ones, in every script of this VM.
local of_strings = getmetatable("")
of_strings.__index = lib_string
of_strings.__metatable = false

return base, freeze, new_env
