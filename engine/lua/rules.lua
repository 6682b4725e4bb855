-- rules.lua - what rules see beyond the sandbox: the transaction, their states and parameters. Compiled into the
-- engine, once per VM, not guarded. Gets the host's functions, returns what lua/rulebind.c calls.
local host = ...
local setmetatable, error, type, loadstring = setmetatable, error, type, loadstring
local suggest = host.suggest
local ffi = host.ffi

local function refuse_write(_, key)
  error("cannot change a read-only table (field " .. (type(key) == "string" and '"' .. key .. '"' or type(key)) .. ")",
    2)
end

-- A view that cannot be changed and in which an unknown key is an error: what() says of what it is no part.
local function strict(t, what, names)
  setmetatable(t, {
    __index = function(_, key)
      if type(key) ~= "string" then error(what .. " has no key that is a " .. type(key), 2) end
      error(what .. ' has no "' .. key .. '"' .. suggest(key, names or t), 2)
    end,
  })
  return setmetatable({}, { __index = t, __newindex = refuse_write, __metatable = false })
end

-- --- the transaction ---

local TEXTS = host.texts          -- name -> number of those made on demand
-- No table below ever holds nil for a field: storing nil to a key that is not there makes LuaJIT rebuild the table.
local current = {}                -- numbers that every transaction has
local made = {}                   -- texts of this transaction that were asked for; false: not yet
local arguments_made = true       -- some of arg1 .. word3 were
local perhaps = {}                -- numbers that may be missing; false: they are
local text_of = host.text

if host.jit then
  local format = ffi.cast("int (*)(void *, int, char *)", host.text)
  local self, buffer, to_string = ffi.cast("void *", host.self), ffi.new("char[?]", host.text_max), ffi.string
  text_of = function(which)
    local n = format(self, which, buffer)
    if n < 0 then return nil end
    return to_string(buffer, n)
  end
end

local ALL = {}                    -- every field, for suggestions

setmetatable(current, {
  __index = function(_, key)
    local value = made[key]
    if value then return value end
    if value == false then
      value = text_of(TEXTS[key])
      if value then
        made[key] = value
        if TEXTS[key] >= TEXTS.arg1 then arguments_made = true end
      end
      return value
    end
    value = perhaps[key]
    if value then return value end
    if value == false then return nil end
    if type(key) ~= "string" then error("the transaction has no field that is a " .. type(key), 2) end
    error('the transaction has no field "' .. key .. '"' .. suggest(key, ALL), 2)
  end,
})

local TX = setmetatable({}, { __index = current, __newindex = refuse_write, __metatable = false })

local function store(value, ether, gas, gas_price, gas_price_gwei, nonce, block, timestamp, input_size, chain, creation,
                     gas_used, fee, status, index, nlogs, logs_total)
  local t = current
  t.value, t.ether, t.gas, t.gas_price, t.gas_price_gwei = value, ether, gas, gas_price, gas_price_gwei
  t.nonce, t.block, t.timestamp, t.input_size, t.chain = nonce, block, timestamp, input_size, chain
  t.is_creation = creation ~= 0
  t.nlogs, t.logs_total = nlogs, logs_total
  t = perhaps
  t.gas_used = gas_used == gas_used and gas_used
  t.fee = fee == fee and fee
  t.status = status == status and status
  t.index = index == index and index
  t = made
  t.hash, t.from, t.to, t.value_wei, t.selector, t.input = false, false, false, false, false, false
  if arguments_made then
    t.arg1, t.arg2, t.arg3, t.word1, t.word2, t.word3 = false, false, false, false, false, false
    arguments_made = false
  end
  t.created = false
end

local fill
if host.jit then
  local n = ffi.cast("const double *", host.numbers)
  fill = function()
    store(n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9], n[10], n[11], n[12], n[13], n[14],
          n[15], n[16])
  end
else
  local numbers = host.numbers
  fill = function() store(numbers()) end
end
fill()

-- --- its logs: tx.logs[i], for i, log in tx.logs() and tx.logs("transfer") ---

local LOG_KINDS, LOG_NUMBERS, LOG_TEXTS = host.log_kinds, host.log_numbers, host.log_texts
local KIND_NAMES, STANDARD_NAMES = {}, { "erc20", "erc721", "erc1155" }
for name, number in pairs(LOG_KINDS) do KIND_NAMES[number] = name end
local log_number, log_text, log_next = host.log_number, host.log_text, host.log_next

if host.jit then
  local number = ffi.cast("double (*)(void *, int, int)", host.log_number)
  local format = ffi.cast("int (*)(void *, int, int, char *)", host.log_text)
  local find = ffi.cast("int (*)(void *, int, int)", host.log_next)
  local self, buffer, to_string = ffi.cast("void *", host.self), ffi.new("char[?]", host.text_max), ffi.string
  log_number = function(i, which) return number(self, i, which) end
  log_text = function(i, which)
    local n = format(self, i, which, buffer)
    if n < 0 then return nil end
    return to_string(buffer, n)
  end
  log_next = function(i, kind) return find(self, i, kind) end
end

local LOG_FIELDS = {}             -- for suggestions
for _, names in ipairs { LOG_NUMBERS, LOG_TEXTS } do
  for name in pairs(names) do LOG_FIELDS[name] = true end
end
-- What a number stands for, where it is none.
local MEANING = {
  kind = function(v) return KIND_NAMES[v] end, standard = function(v) return STANDARD_NAMES[v] end,
  approved = function(v) return v ~= 0 end, zero_for_one = function(v) return v ~= 0 end,
}

local LOG_VIEW = {
  __index = function(view, key)
    local which = LOG_TEXTS[key]
    if which then return log_text(view[0], which) end
    which = LOG_NUMBERS[key]
    if which then
      local value = log_number(view[0], which)
      if value ~= value then return nil end
      local meaning = MEANING[key]
      if meaning then return meaning(value) end
      return value
    end
    if type(key) ~= "string" then error("a log has no field that is a " .. type(key), 2) end
    error('a log has no field "' .. key .. '"' .. suggest(key, LOG_FIELDS), 2)
  end,
  __newindex = refuse_write, __metatable = false,
}
local LOGS = {}                   -- a view knows its place and nothing else
for i = 1, host.logs_max do LOGS[i] = setmetatable({ [0] = i }, LOG_VIEW) end

local function next_log_of(kind, i)
  i = log_next(i, kind)
  if i > 0 then return i, LOGS[i] end
end

current.logs = setmetatable({}, {
  __index = function(_, key)
    if type(key) ~= "number" then
      error("tx.logs has no key that is a " .. type(key) .. ", only places from 1 to tx.nlogs", 2)
    end
    if key >= 1 and key <= current.nlogs then return LOGS[key] end
  end,
  __call = function(_, kind)
    if kind == nil then return next_log_of, -1, 0 end
    local number = LOG_KINDS[kind]
    if not number then
      error("tx.logs(kind): there is no kind "
        .. (type(kind) == "string" and '"' .. kind .. '"' .. suggest(kind, LOG_KINDS) or "that is a " .. type(kind)), 2)
    end
    return next_log_of, number, 0
  end,
  __newindex = refuse_write, __metatable = false,
})
for _, fields in ipairs { current, made, perhaps } do
  for name in pairs(fields) do ALL[name] = true end
end

-- --- methods of states: each from its own chunk, so that compiled call sites see one function ---

local FIELDS, NAN = host.fields, 0 / 0
-- A light userdata as argument of a C function is not compiled, a cdata pointer is.
local RECORD = host.jit and ffi.cast("const void *", host.tx)

local function method(spec)
  local what = spec.primitive .. ":" .. spec.name
  local function wrong(argument, value)
    if argument == 0 then
      error("method " .. what .. " needs the transaction as its first argument, not "
        .. (value == nil and "nothing" or "a " .. type(value)), 3)
    elseif spec[argument] == "number" or type(value) ~= "string" then
      error("method " .. what .. ": argument " .. argument .. " must be "
        .. (spec[argument] == "number" and "a number" or "the name of a field") .. ", not a " .. type(value), 3)
    end
    error("method " .. what .. ': there is no field "' .. value .. '"' .. suggest(value, FIELDS), 3)
  end
  local out = { "local fn, box, tx0, TX, FIELDS, NAN, wrong, text, type = ...\nreturn function(_" }
  local function put(s) out[#out + 1] = s end
  if spec.takes_tx then put ", tx" end
  put ", a, b)\n"
  if spec.takes_tx then put "if tx ~= TX then wrong(0, tx) end\n" end
  for i = 1, 2 do
    local name = i == 1 and "a" or "b"
    if spec[i] == "number" then
      put("if " .. name .. " == nil then " .. name .. " = NAN elseif type(" .. name .. ') ~= "number" then wrong(' .. i
        .. ", " .. name .. ") end\n")
    elseif spec[i] == "field" then
      put("if " .. name .. " == nil then " .. name .. " = NAN else " .. name .. " = FIELDS[" .. name .. "] or wrong("
        .. i .. ", " .. name .. ") end\n")
    else
      put(name .. " = NAN\n")
    end
  end
  put(host.jit and "local r = fn(box[0], tx0, a, b)\n" or "local r = fn(a, b)\n")
  put "if r ~= r then return nil end\n"
  put(spec.result == "bool" and "return r ~= 0\n" or spec.result == "text" and "return text(r)\n" or "return r\n")
  put "end"
  local fn, box, text = spec.fn, nil, spec.text
  if host.jit then
    fn = ffi.cast("double (*)(void *, const void *, double, double)", spec.fn)
    box = ffi.cast("void **", spec.box)
    if spec.text then
      local get, to_string = ffi.cast("const char *(*)(void *, int)", spec.text), ffi.string
      text = function(r)
        local s = get(box[0], r)
        if s == nil then return nil end
        return to_string(s)
      end
    end
  end
  return assert(loadstring(table.concat(out), "=method"))(fn, box, RECORD, TX, FIELDS, NAN, wrong, text, type)
end

-- --- what a rule may not do: keep values outside of its state ---

local util = host.util
local STORES = {}                 -- opcodes that assign an upvalue
for _, source in ipairs { "x = v", "x = 'k'", "x = 1", "x = nil" } do
  local f = assert(loadstring("local x return function(v) " .. source .. " end"))()
  STORES[bit.band((util.funcbc(f, 1)), 0xff)] = true
end

-- The name of a file-level local that `f` assigns, or nil.
local function assigned(f)
  local pc = 1
  while true do
    local instruction = util.funcbc(f, pc)
    if not instruction then return nil end
    if STORES[bit.band(instruction, 0xff)] then
      return util.funcuvname(f, bit.band(bit.rshift(instruction, 8), 0xff)) or "?"
    end
    pc = pc + 1
  end
end

return { tx = TX, fill = fill, method = method, strict = strict, assigned = assigned, fields = ALL }
