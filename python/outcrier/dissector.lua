-- Wireshark dissector of Outcrier's wire (docs/wire-format.md).
--
-- Use it by `wireshark -X lua_script:outcrier.lua`, or put it into the folder of personal Lua plugins (Help, About,
-- Folders). Frames over UDP are known by their first bytes on any port, text lines on the ports of the groups.
-- Streams (u16 length, then a frame) are known by port, or by their first bytes.

-- @TABLES@

local MAGIC, VERSION = 0xFB, 1
local AUTH = 2
local PACK = 0x30
local MAC_BYTES, DATAGRAM_MAX = 8, 1400

local outcrier = Proto("outcrier", "Outcrier market data")
local fields = {}
local all = {}

local function declare(key, field)
  fields[key] = field
  all[#all + 1] = field
end

-- One ProtoField for each field of header, root or record.
local function declare_part(prefix, part)
  for _, row in ipairs(part) do
    local name, kind, hex, names = row[1], row[2], row[5], row[6]
    local key = prefix .. "." .. name
    if kind == "string" or kind == "bytes" or kind == "double" then
      declare(key, ProtoField[kind](key, name))
    else
      declare(key, ProtoField[kind](key, name, hex and base.HEX or base.DEC, names or nil))
    end
  end
end

HEADER[3][6] = MESSAGE_NAMES
declare_part("outcrier", HEADER)
for bit_number, name in ipairs(FLAGS) do
  local key = "outcrier.flags." .. name:lower()
  declare(key, ProtoField.bool(key, name, 16, nil, 2 ^ (bit_number - 1)))
end
for _, message in pairs(MESSAGES) do
  message.prefix = "outcrier." .. message.name:lower()
  if message.root then declare_part(message.prefix, message.root.fields) end
  if message.record then declare_part(message.prefix .. ".record", message.record.fields) end
end
declare("mac", ProtoField.uint64("outcrier.mac", "MAC", base.HEX))
declare("padding", ProtoField.bytes("outcrier.padding", "Padding of the datagram"))
declare("pad", ProtoField.bytes("outcrier.pack.padding", "Padding of the message"))
declare("later", ProtoField.bytes("outcrier.later", "Appended by a later version"))
declare("payload", ProtoField.bytes("outcrier.payload", "Payload of a type of a later version"))
declare("number", ProtoField.uint8("outcrier.channel.number", "Channel", base.DEC, nil, 0x7F))
declare("snapshot", ProtoField.bool("outcrier.channel.snapshot", "Snapshot plane", 8, nil, 0x80))
declare("length", ProtoField.uint16("outcrier.length", "Length in the stream"))
declare("crc_ok", ProtoField.bool("outcrier.crc32c.ok", "CRC is right"))
declare("exchange_ts", ProtoField.int64("outcrier.pack.exchange_ts", "exchange_ts of the message"))
declare("recv_ts", ProtoField.int64("outcrier.pack.recv_ts", "recv_ts of the message"))
declare("text", ProtoField.string("outcrier.text", "Text line"))
for _, name in ipairs({ "exchange", "name", "type", "counts", "timestamp", "connected", "disconnected", "total", "error" }) do
  local key = "outcrier.text." .. name
  declare(key, ProtoField.string(key, name))
end
outcrier.fields = all

local bad_crc = ProtoExpert.new("outcrier.crc32c.bad", "CRC differs", expert.group.CHECKSUM, expert.severity.ERROR)
local cut = ProtoExpert.new("outcrier.cut", "Frame does not fit", expert.group.MALFORMED, expert.severity.ERROR)
local never = ProtoExpert.new("outcrier.never", "Never trade on it", expert.group.COMMENTS_GROUP, expert.severity.NOTE)
outcrier.experts = { bad_crc, cut, never }

-- CRC-32C (Castagnoli, reflected), by table.
local CRC = {}
for byte = 0, 255 do
  local crc = byte
  for _ = 1, 8 do
    local odd = crc % 2 == 1
    crc = math.floor(crc / 2)
    if odd then crc = bit.bxor(crc, 0x82F63B78) % 2 ^ 32 end
  end
  CRC[byte] = crc
end

local function crc32c(crc, bytes)
  for index = 0, bytes:len() - 1 do
    local low = bit.bxor(crc % 256, bytes:get_index(index)) % 256
    crc = bit.bxor(math.floor(crc / 256), CRC[low]) % 2 ^ 32
  end
  return crc
end

local function crc_of(buffer, payload_end)
  local crc = crc32c(0xFFFFFFFF, buffer(0, HEADER_BYTES - 4):bytes())
  if payload_end > HEADER_BYTES then
    crc = crc32c(crc, buffer(HEADER_BYTES, payload_end - HEADER_BYTES):bytes())
  end
  return bit.bxor(crc, 0xFFFFFFFF) % 2 ^ 32
end

local function utc(value)
  local seconds = value:tonumber() / 1e9
  if seconds <= 0 or seconds > 2 ^ 33 then return "" end
  return os.date("! (%Y-%m-%d %H:%M:%S UTC)", math.floor(seconds))
end

local function bit_names(value, names)
  local set = {}
  for index, name in ipairs(names) do
    if math.floor(value / 2 ^ (index - 1)) % 2 == 1 then set[#set + 1] = name end
  end
  return #set > 0 and " (" .. table.concat(set, ", ") .. ")" or ""
end

local function add_flags(tree, range)
  for _, name in ipairs(FLAGS) do
    tree:add_le(fields["outcrier.flags." .. name:lower()], range)
  end
end

-- Adds the fields of one part that begins at `at`.
local function add_part(tree, buffer, at, prefix, part)
  for _, row in ipairs(part) do
    local name, kind, offset, bytes, bits = row[1], row[2], row[3], row[4], row[7]
    local range = buffer(at + offset, bytes)
    local field = fields[prefix .. "." .. name]
    local item
    if kind == "string" then
      item = tree:add(field, range, range:string(ENC_UTF_8))
    elseif kind == "bytes" then
      item = tree:add(field, range)
    else
      item = tree:add_le(field, range)
    end
    if kind == "int64" and name:sub(-3) == "_ts" then item:append_text(utc(range:le_int64())) end
    if bits then item:append_text(bit_names(range:le_uint(), bits)) end
    if name == "flags" then add_flags(item, range) end
    if prefix == "outcrier" and name == "channel" then
      item:add(fields.number, range)
      item:add(fields.snapshot, range)
    end
  end
end

-- Adds root and records; `count` and `rec_len` are those of the header or of the sub-header.
local function add_message(tree, buffer, at, size, msg_type, count, rec_len)
  local message = MESSAGES[msg_type]
  if not message then
    if size > 0 then tree:add(fields.payload, buffer(at, size)) end
    return
  end
  local root_bytes = size - count * rec_len
  local known = message.root and message.root.bytes or 0
  local record = message.record and message.record.bytes or 0
  if root_bytes < known or (count > 0 and rec_len < record) then
    tree:add_proto_expert_info(cut)
    return
  end
  if message.root then
    local branch = tree:add(outcrier, buffer(at, root_bytes), message.name .. " root")
    add_part(branch, buffer, at, message.prefix, message.root.fields)
  end
  if root_bytes > known then tree:add(fields.later, buffer(at + known, root_bytes - known)) end
  for index = 0, count - 1 do
    local start = at + root_bytes + index * rec_len
    if rec_len > 0 then
      local branch = tree:add(outcrier, buffer(start, rec_len), message.name .. " record " .. index)
      if message.record then add_part(branch, buffer, start, message.prefix .. ".record", message.record.fields) end
      if rec_len > record then branch:add(fields.later, buffer(start + record, rec_len - record)) end
    end
  end
end

local function add_pack(tree, buffer, at, size, header)
  local sub_bytes = MESSAGES[PACK].record.bytes
  local stop = at + size
  local names = {}
  while at + sub_bytes <= stop do
    local length, msg_type = buffer(at, 2):le_uint(), buffer(at + 2, 1):uint()
    local pad = buffer(at + 31, 1):uint()
    if length < sub_bytes + pad or at + length > stop then
      tree:add_proto_expert_info(cut)
      return names
    end
    local name = MESSAGES[msg_type] and MESSAGES[msg_type].name or string.format("0x%02x", msg_type)
    names[#names + 1] = name
    local branch = tree:add(outcrier, buffer(at, length), "Message: " .. name)
    add_part(branch, buffer, at, MESSAGES[PACK].prefix .. ".record", MESSAGES[PACK].record.fields)
    local exchange_ts = header.exchange_ts + Int64.new(buffer(at + 24, 4):le_int())
    local recv_ts = header.recv_ts + Int64.new(buffer(at + 28, 2):le_uint() * 1000)
    branch:add(fields.exchange_ts, buffer(at + 24, 4), exchange_ts):append_text(utc(exchange_ts)):set_generated()
    branch:add(fields.recv_ts, buffer(at + 28, 2), recv_ts):append_text(utc(recv_ts)):set_generated()
    local payload = length - sub_bytes - pad
    local count, rec_len = buffer(at + 6, 1):uint(), buffer(at + 3, 1):uint()
    add_message(branch, buffer, at + sub_bytes, payload, msg_type, count, rec_len)
    if pad > 0 then branch:add(fields.pad, buffer(at + length - pad, pad)) end
    at = at + length
  end
  return names
end

-- Bytes of the frame at the beginning of the buffer.
local function frame_bytes(buffer)
  local trailer = math.floor(buffer(4, 2):le_uint() / AUTH) % 2 == 1 and MAC_BYTES or 0
  return HEADER_BYTES + buffer(6, 2):le_uint() + trailer, trailer
end

local function is_frame(buffer)
  if buffer:len() < HEADER_BYTES then return false end
  return buffer(0, 1):uint() == MAGIC and buffer(1, 1):uint() == VERSION and frame_bytes(buffer) <= buffer:len()
end

local function describe(info, buffer, packed)
  local msg_type, channel = buffer(2, 1):uint(), buffer(9, 1):uint()
  local name = MESSAGE_NAMES[msg_type] or string.format("0x%02x", msg_type)
  local plane = channel >= 128 and " snapshot" or ""
  local text = string.format("%s ch=%d%s seq=%s", name, channel % 128, plane, tostring(buffer(10, 8):le_uint64()))
  local instrument = buffer(26, 4):le_uint()
  if instrument > 0 then text = text .. string.format(" inst=%d/%d", instrument, buffer(30, 4):le_uint()) end
  if packed then text = text .. " [" .. table.concat(packed, " ") .. "]" end
  local flags = buffer(4, 2):le_uint()
  info.cols.protocol = "OUTCRIER"
  info.cols.info = text .. bit_names(flags, FLAGS)
end

local function add_frame(buffer, info, parent)
  local bytes, trailer = frame_bytes(buffer)
  local payload_end = bytes - trailer
  local tree = parent:add(outcrier, buffer(0, bytes))
  local head = tree:add(outcrier, buffer(0, HEADER_BYTES), "Header")
  add_part(head, buffer, 0, "outcrier", HEADER)
  local crc_range = buffer(HEADER_BYTES - 4, 4)
  local is_right = crc_of(buffer, payload_end) == crc_range:le_uint()
  head:add(fields.crc_ok, crc_range, is_right):set_generated()
  if not is_right then head:add_proto_expert_info(bad_crc) end
  local flags = buffer(4, 2):le_uint()
  if math.floor(flags / 128) % 4 > 0 then head:add_proto_expert_info(never) end
  local msg_type, size = buffer(2, 1):uint(), payload_end - HEADER_BYTES
  local packed
  if msg_type == PACK then
    local header = { exchange_ts = buffer(42, 8):le_int64(), recv_ts = buffer(50, 8):le_int64() }
    packed = add_pack(tree, buffer, HEADER_BYTES, size, header)
  else
    add_message(tree, buffer, HEADER_BYTES, size, msg_type, buffer(8, 1):uint(), buffer(3, 1):uint())
  end
  if trailer > 0 then tree:add_le(fields.mac, buffer(payload_end, trailer)) end
  if buffer:len() > bytes then tree:add(fields.padding, buffer(bytes)) end
  describe(info, buffer, packed)
end

local function split(line)
  local parts = {}
  for part in (line .. "|"):gmatch("([^|]*)|") do parts[#parts + 1] = part end
  return parts
end

local function is_text(buffer)
  return buffer:len() > 0 and buffer(buffer:len() - 1, 1):uint() == 10 and buffer:len() <= 512
end

local function add_text(buffer, info, parent)
  local range = buffer(0, buffer:len() - 1)
  local line = range:string(ENC_ASCII)
  local tree = parent:add(outcrier, buffer())
  tree:add(fields.text, range, line)
  local parts = split(line)
  local names = { "exchange", "name", "type", "counts", "timestamp" }
  if parts[1] == "CONN" then
    table.remove(parts, 1)
    names = { "exchange", "connected", "disconnected", "total" }
  elseif parts[1] == "ERROR" then
    table.remove(parts, 1)
    names = { "exchange", "name", "timestamp", "error" }
  end
  for index, name in ipairs(names) do
    if parts[index] then tree:add(fields["outcrier.text." .. name], range, parts[index]) end
  end
  info.cols.protocol = "OUTCRIER"
  info.cols.info = line
end

local function datagram(buffer, info, tree)
  if is_frame(buffer) and buffer:len() <= DATAGRAM_MAX then
    add_frame(buffer, info, tree)
  elseif is_text(buffer) then
    add_text(buffer, info, tree)
  else
    return 0
  end
  return buffer:len()
end

-- Streams: u16 length (little-endian), then a frame; 0 keeps the connection alive.
local function unit_bytes(buffer, _, offset)
  return 2 + buffer(offset, 2):le_uint()
end

local function add_unit(buffer, info, tree)
  tree:add_le(fields.length, buffer(0, 2))
  if buffer:len() > 2 and is_frame(buffer(2):tvb()) then add_frame(buffer(2):tvb(), info, tree) end
  return buffer:len()
end

local function stream(buffer, info, tree)
  dissect_tcp_pdus(buffer, tree, 2, unit_bytes, add_unit)
  return buffer:len()
end

function outcrier.dissector(buffer, info, tree)
  if info.port_type == 2 then return stream(buffer, info, tree) end
  return datagram(buffer, info, tree)
end

outcrier:register_heuristic("udp", function(buffer, info, tree)
  if not is_frame(buffer) or buffer:len() > DATAGRAM_MAX then return false end
  add_frame(buffer, info, tree)
  return true
end)

outcrier:register_heuristic("tcp", function(buffer, info, tree)
  if buffer:len() < 4 or buffer(2, 1):uint() ~= MAGIC or buffer(3, 1):uint() ~= VERSION then return false end
  info.conversation = outcrier
  stream(buffer, info, tree)
  return true
end)

DissectorTable.get("udp.port"):add(PORTS, outcrier)
DissectorTable.get("tcp.port"):add(TCP_PORTS, outcrier)
