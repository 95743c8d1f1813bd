package model

// spec is what every GPU of one model has in common. The tables are in specs.go and profiles.go.
type spec struct {
	model, name    string
	since          Branch // first driver branch that knows the GPU
	brand          uint32 // nvmlBrandType_t
	arch           uint32 // NVML_DEVICE_ARCH_*
	ccMajor        int
	ccMinor        int
	pciDevice      uint32 // device<<16 | vendor
	pciSubsystem   uint32
	partNumber     string
	vbios          string
	memoryMiB      uint64 // what nvmlDeviceGetMemoryInfo calls total
	reservedMiB    uint64
	bar1MiB        uint64
	busWidth       uint32
	sms            uint32
	coresPerSM     uint32
	hbm            bool // has a memory temperature
	ecc            bool
	rowRemap       bool   // Ampere and later; page retirement before
	banks          uint32 // of the row remapper
	fans           uint32
	pcieGen        uint32
	pcieWidth      uint32
	nvlinks        uint32
	nvlinkVersion  uint32
	nvlinkMBps     uint32 // of one link, one direction
	idleW, limitW  uint32
	minLimitW      uint32
	idleMHz        uint32
	maxMHz         uint32
	memMHz         uint32
	idlePState     uint32
	slowdownC      uint32
	shutdownC      uint32
	gpuMaxC        uint32
	memMaxC        uint32
	idleC, busyC   float64
	gpm            bool // Hopper and later
	fabric         bool // registers with the fabric manager where there is an NVSwitch
	engines        engines
	axis           uint32 // memory slices; 0: no MIG
	slices         uint32 // compute slices
	modeImmediate  bool   // MIG mode changes without reset (Hopper and later)
	profiles       []giProfile
	profileEnumEnd uint32 // first profile enum that is INVALID_ARGUMENT; 0: by driver branch
}

// engines counts the engines that instances share out.
type engines struct{ copy, dec, enc, jpeg, ofa uint32 }

func (e engines) within(total engines) bool {
	return e.dec <= total.dec && e.enc <= total.enc && e.jpeg <= total.jpeg && e.ofa <= total.ofa
}

func (e engines) plus(o engines) engines {
	return engines{e.copy + o.copy, e.dec + o.dec, e.enc + o.enc, e.jpeg + o.jpeg, e.ofa + o.ofa}
}

// giProfile is a GPU instance profile of one model.
type giProfile struct {
	enum, id uint32
	name     string   // 1g.10gb, as the loaded driver says it
	names    []naming // where drivers differ: by branch, ascending
	slices   uint32   // compute slices
	size     uint32   // memory slices
	starts   []uint32
	max      uint32 // how many can exist
	told     uint32 // instanceCount where the driver tells another number; 0: max
	sms      uint32
	memMiB   uint64
	eng      engines
	gfx      bool
	p2p      bool
	since    Branch
}

// naming is the name of a profile from a driver branch on.
type naming struct {
	since Branch
	name  string
}

// rename gives the profiles the names that a driver branch has for them.
func (s *spec) rename(b Branch) {
	for i := range s.profiles {
		for _, n := range s.profiles[i].names {
			if n.since <= b {
				s.profiles[i].name = n.name
			}
		}
	}
}

func (p *giProfile) placements() []Placement {
	out := make([]Placement, 0, len(p.starts))
	for _, s := range p.starts {
		out = append(out, Placement{Start: s, Size: p.size})
	}
	return out
}

func (p *giProfile) allows(pl Placement) bool {
	if pl.Size != p.size {
		return false
	}
	for _, s := range p.starts {
		if s == pl.Start {
			return true
		}
	}
	return false
}

func (p *giProfile) instanceCount() uint32 {
	if p.told != 0 {
		return p.told
	}
	return p.max
}

// ciProfile is a compute instance profile inside one GPU instance profile.
type ciProfile struct {
	enum, id, slices uint32
	name             string // 1c.3g.40gb, or the GPU instance's name where it fills it
	starts           []uint32
	sms              uint32
}

func (p ciProfile) allows(pl Placement) bool {
	if pl.Size != p.slices {
		return false
	}
	for _, s := range p.starts {
		if s == pl.Start {
			return true
		}
	}
	return false
}

// NVML's compute instance profile enum by slices; 5 slices have none, so the odd GPU takes the first number past the header's.
const ciEnumFive = 9

func ciEnum(slices uint32) uint32 {
	switch slices {
	case 7:
		return 4
	case 8:
		return 5
	case 6:
		return 6
	case 5:
		return ciEnumFive
	}
	return slices - 1
}

// ciProfiles lists the compute instance profiles of a GPU instance profile, smallest first.
func (p *giProfile) ciProfiles() []ciProfile {
	sizes := map[uint32][]uint32{1: {1}, 2: {1, 2}, 3: {1, 2, 3}, 4: {1, 2, 4}, 7: {1, 2, 3, 4, 7}}[p.slices]
	if sizes == nil {
		sizes = []uint32{1, p.slices}
	}
	out := make([]ciProfile, 0, len(sizes))
	for _, c := range sizes {
		q := ciProfile{enum: ciEnum(c), id: ciEnum(c), slices: c, name: p.name, sms: p.sms}
		if c != p.slices {
			q.name = string(rune('0'+c)) + "c." + p.name
			q.sms = p.sms * c / p.slices
		}
		step := c
		if c == 3 {
			step = 4
		}
		for s := uint32(0); s+c <= p.slices; s += step {
			q.starts = append(q.starts, s)
		}
		if c == 4 {
			q.starts = q.starts[:1]
		}
		out = append(out, q)
	}
	return out
}
