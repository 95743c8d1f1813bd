package model

// linkField gives the NVLink fields: error counters and speeds per link and in total, bytes, state.
func (n *Node) linkField(g *gpu, id, scope uint32) (ValueType, uint64, Return) {
	if g.spec.nvlinks == 0 || n.shape.NVLink.Kind == "none" || n.shape.NVLink.Kind == "" {
		if id == 91 {
			return u32(g.spec.nvlinks)
		}
		return missing()
	}
	if counter, link, total, ok := linkCounter(id); ok {
		if g.spec.nvlinkVersion >= 5 && counter < 2 {
			return missing() // Blackwell counts otherwise (201 to 222)
		}
		if total {
			sum := uint64(0)
			for l := range g.spec.nvlinks {
				sum += g.linkErrors[[2]uint32{l, counter}]
			}
			return u64(sum)
		}
		if link >= g.spec.nvlinks {
			return missing()
		}
		return u64(g.linkErrors[[2]uint32{link, counter}])
	}
	speed := func(link uint32) (ValueType, uint64, Return) {
		if link >= g.spec.nvlinks {
			return missing()
		}
		if _, _, ok := n.peer(g, link); !ok || !g.linkUp(link) {
			return u32(0)
		}
		return u32(g.spec.nvlinkMBps)
	}
	switch {
	case id >= 84 && id <= 89:
		return speed(id - 84)
	case id >= 132 && id <= 137:
		return speed(id - 132 + 6)
	case id == 90:
		return u32(g.spec.nvlinkMBps)
	case id == 91:
		return u32(g.spec.nvlinks)
	case id >= 138 && id <= 141:
		return n.linkBytes(g, id, scope)
	case id == 147:
		if n.shape.NVLink.Kind != "nvswitch" {
			return u32(0)
		}
		return u32(g.activeLinks())
	}
	if id < 146 {
		return missing() // the old bandwidth counters
	}
	if scope >= g.spec.nvlinks {
		return ValueUnsignedInt, 0, InvalidArgument
	}
	switch id {
	case 146:
		return u32(scope)
	case 161, 162, 163: // replay, recovery, CRC
		if g.spec.nvlinkVersion >= 5 {
			return missing()
		}
		return u32(uint32(g.linkErrors[[2]uint32{scope, id - 161}]))
	case 164:
		return speed(scope)
	case 165:
		return flagField(g.linkUp(scope))
	case 166:
		return u32(g.linkVersion())
	case 167:
		return u32(0)
	}
	if id >= 201 && g.spec.nvlinkVersion >= 5 {
		n.advance(g)
		perLink := 1 / float64(max(g.activeLinks(), 1))
		switch id {
		case 202:
			return u64(uint64(g.meter.sum[actNVLinkTx] * perLink))
		case 204:
			return u64(uint64(g.meter.sum[actNVLinkRx] * perLink))
		case 201, 203:
			return u64(uint64(g.meter.sum[actNVLinkTx] * perLink / 256))
		}
		return u64(0)
	}
	return missing()
}

// linkBytes gives KiB of data (138 sent, 139 received) and with protocol (140, 141), of one link or, scope 0xFFFFFFFF, of all.
func (n *Node) linkBytes(g *gpu, id, scope uint32) (ValueType, uint64, Return) {
	n.advance(g)
	v := g.meter.sum[actNVLinkTx]
	if id == 139 || id == 141 {
		v = g.meter.sum[actNVLinkRx]
	}
	if id >= 140 {
		v *= 1.07
	}
	if scope != NoInstance {
		if scope >= g.spec.nvlinks {
			return ValueUnsignedLongLong, 0, InvalidArgument
		}
		v /= float64(max(g.activeLinks(), 1))
	}
	return u64(uint64(v / 1024))
}

// linkCounter reads a field id as an error counter of one link (up to 11) or of all.
func linkCounter(id uint32) (counter, link uint32, total, ok bool) {
	for _, r := range []struct{ low, high, total, counter uint32 }{ // links 0 to 5, links 6 to 11, all links
		{32, 96, 38, 2}, {39, 102, 45, 3}, {46, 108, 52, 0}, {53, 114, 59, 1},
	} {
		switch {
		case id == r.total:
			return r.counter, 0, true, true
		case id >= r.low && id < r.low+6:
			return r.counter, id - r.low, false, true
		case id >= r.high && id < r.high+6:
			return r.counter, id - r.high + 6, false, true
		}
	}
	switch {
	case id == 160:
		return 4, 0, true, true
	case id >= 148 && id < 160:
		return 4, id - 148, false, true
	}
	return 0, 0, false, false
}
