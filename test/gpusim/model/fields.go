package model

import (
	"context"
	"math"
)

// DeviceGetFieldValues answers each field with its own code: NotSupported for those that the GPU or the simulation has not,
// InvalidArgument past the driver's last.
func (c *Client) DeviceGetFieldValues(ctx context.Context, d Device, values []FieldValue) (out []FieldValue, ret Return) {
	ret = c.gpu(ctx, "nvmlDeviceGetFieldValues", d, func(g *gpu) Return {
		out = make([]FieldValue, len(values))
		now := c.node.clock.Now().UnixMicro()
		for i, v := range values {
			v.Timestamp, v.LatencyUsec = now, 1
			v.ValueType, v.Bits, v.Return = ValueUnsignedInt, 0, InvalidArgument
			if v.FieldID > 0 && v.FieldID < c.node.branch.fieldsEnd() {
				v.ValueType, v.Bits, v.Return = c.node.field(g, v.FieldID, v.ScopeID)
			}
			out[i] = v
		}
		return Success
	})
	return out, ret
}

func u32(v uint32) (ValueType, uint64, Return)     { return ValueUnsignedInt, uint64(v), Success }
func u64(v uint64) (ValueType, uint64, Return)     { return ValueUnsignedLongLong, v, Success }
func i32(v int32) (ValueType, uint64, Return)      { return ValueSignedInt, uint64(uint32(v)), Success }
func missing() (ValueType, uint64, Return)         { return ValueUnsignedInt, 0, NotSupported }
func flagField(b bool) (ValueType, uint64, Return) { return u32(number(b)) }

// field gives one value of NVML_FI_*.
func (n *Node) field(g *gpu, id, scope uint32) (ValueType, uint64, Return) {
	switch {
	case id <= 28:
		return g.eccField(id)
	case id <= 31 || id == 92 || id == 93:
		return g.retiredField(id)
	case id >= 142 && id <= 145 || id == 301 || id == 302:
		return g.remapField(id)
	case id >= 32 && id <= 73 || id >= 84 && id <= 91 || id >= 96 && id <= 141 || id >= 146 && id <= 168 || id >= 201 && id <= 222:
		return n.linkField(g, id, scope)
	case id >= 185 && id <= 192:
		return n.powerField(g, id, scope)
	case id >= 193 && id <= 196:
		return g.thresholdField(id)
	}
	switch id {
	case 74, 75, 76, 77, 78, 79:
		return u64(n.violation(g, id-74))
	case 80, 81:
		return u64(n.violation(g, 10))
	case 82:
		if !g.spec.hbm {
			return missing()
		}
		n.advance(g)
		_, mem := g.temperature()
		return u32(uint32(math.Round(mem)))
	case 83:
		return u64(n.energy(g))
	case 94:
		return u32(g.replays)
	case 95, 169, 173, 174, 175, 176, 177, 178, 179, 180, 181, 182:
		return u32(0)
	case 170: // C2C links
		return u32(0)
	case 184: // MIG without reset
		return flagField(g.spec.modeImmediate)
	case 197, 198:
		n.advance(g)
		return u64(uint64(g.meter.sum[actPCIeTx+int(id-197)]))
	case 199:
		return flagField(g.spec.modeImmediate)
	case 230:
		return u32(g.recovery)
	case 269, 270, 271:
		return u64(0)
	}
	return missing()
}

func (g *gpu) eccField(id uint32) (ValueType, uint64, Return) {
	if !g.spec.ecc {
		return missing()
	}
	switch {
	case id == 1:
		return flagField(g.eccOn)
	case id == 2:
		return flagField(g.eccPending)
	case !g.eccOn:
		return missing()
	case id <= 6:
		return u64(g.eccTotal(id == 4 || id == 6, id >= 5))
	}
	aggregate := id >= 18
	first := uint32(7)
	if aggregate {
		first = 18
	}
	k := id - first // L1, L2, device, register, texture: single and double each; then CBU, double only
	location := [...]EccLocation{EccL1, EccL2, EccDevice, EccRegister, EccTexture, EccCBU}[k/2]
	if !g.countsAt(location) {
		return missing()
	}
	return u64(g.ecc[number(k%2 == 1 || k == 10)][number(aggregate)][location])
}

func (g *gpu) retiredField(id uint32) (ValueType, uint64, Return) {
	if g.spec.rowRemap {
		return missing()
	}
	switch id {
	case 29, 30:
		return u32(uint32(len(g.retired[id-29])))
	case 31:
		return flagField(g.retiredPending)
	}
	return flagField(g.retiredPending && len(g.retired[id-92]) > 0)
}

func (g *gpu) remapField(id uint32) (ValueType, uint64, Return) {
	if !g.spec.rowRemap || id > 300 {
		return missing()
	}
	switch id {
	case 142:
		return u32(g.rows.Correctable)
	case 143:
		return u32(g.rows.Uncorrectable)
	case 144:
		return flagField(g.rows.Pending)
	}
	return flagField(g.rows.Failure)
}

func (n *Node) powerField(g *gpu, id, scope uint32) (ValueType, uint64, Return) {
	if scope > 1 {
		return missing()
	}
	switch id {
	case 185: // average: not on GA100
		if g.spec.arch == archAmpere || g.spec.arch < archAmpere {
			return missing()
		}
		return u32(uint32(n.now(g)[actWatts] * 1000))
	case 186:
		return u32(uint32(n.now(g)[actWatts] * 1000))
	case 187:
		return u32(g.spec.minLimitW * 1000)
	case 188, 189:
		return u32(g.spec.limitW * 1000)
	case 191:
		return u64(n.energy(g))
	}
	return u32(g.limitMW)
}

// thresholdField: T.Limit temperatures count down to the slowdown, from Ada on.
func (g *gpu) thresholdField(id uint32) (ValueType, uint64, Return) {
	if g.spec.arch < archHopper {
		return missing()
	}
	switch id {
	case 193:
		return i32(int32(g.spec.slowdownC) - int32(g.spec.shutdownC))
	case 194:
		return i32(0)
	case 195:
		if g.spec.memMaxC == 0 {
			return missing()
		}
		return i32(0)
	}
	return i32(int32(g.spec.slowdownC) - int32(g.spec.gpuMaxC))
}
