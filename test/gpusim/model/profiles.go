package model

// The GPU instance profiles, as NVIDIA's documents and nvidia-smi mig -lgip list them. Enum: NVML_GPU_INSTANCE_PROFILE_*.

// geometry8 is what the eight-slot models differ in. SMs and memory go 1g, 1g double, 2g, 3g, 4g, 7g.
type geometry8 struct {
	gb    [6]string
	sms   [6]uint32
	mib   [6]uint64
	eng   [6]engines
	me    engines // 1g+me
	p2p7g bool
}

// axis8 builds the seven profiles of A100, H100, H200 and B200: 8 memory slices, 7 compute slices.
func axis8(g geometry8) []giProfile {
	all := []uint32{0, 1, 2, 3, 4, 5, 6}
	return []giProfile{
		{enum: 0, id: 19, name: "1g." + g.gb[0], slices: 1, size: 1, starts: all, max: 7, sms: g.sms[0], memMiB: g.mib[0], eng: g.eng[0]},
		{enum: 7, id: 20, name: "1g." + g.gb[0] + "+me", slices: 1, size: 1, starts: all, max: 1, sms: g.sms[0], memMiB: g.mib[0], eng: g.me},
		{enum: 9, id: 15, name: "1g." + g.gb[1], slices: 1, size: 2, starts: []uint32{0, 2, 4, 6}, max: 4, sms: g.sms[1], memMiB: g.mib[1], eng: g.eng[1], since: 525},
		{enum: 1, id: 14, name: "2g." + g.gb[2], slices: 2, size: 2, starts: []uint32{0, 2, 4}, max: 3, sms: g.sms[2], memMiB: g.mib[2], eng: g.eng[2]},
		{enum: 2, id: 9, name: "3g." + g.gb[3], slices: 3, size: 4, starts: []uint32{0, 4}, max: 2, sms: g.sms[3], memMiB: g.mib[3], eng: g.eng[3]},
		{enum: 3, id: 5, name: "4g." + g.gb[4], slices: 4, size: 4, starts: []uint32{0}, max: 1, sms: g.sms[4], memMiB: g.mib[4], eng: g.eng[4]},
		{enum: 4, id: 0, name: "7g." + g.gb[5], slices: 7, size: 8, starts: []uint32{0}, max: 1, sms: g.sms[5], memMiB: g.mib[5], eng: g.eng[5], p2p: g.p2p7g},
	}
}

func ampereEngines() ([6]engines, engines) {
	return [6]engines{{copy: 1}, {copy: 1, dec: 1}, {copy: 2, dec: 1}, {copy: 3, dec: 2}, {copy: 4, dec: 2}, {copy: 7, dec: 5, jpeg: 1, ofa: 1}},
		engines{copy: 1, dec: 1, jpeg: 1, ofa: 1}
}

func hopperEngines() ([6]engines, engines) {
	return [6]engines{
		{copy: 1, dec: 1, jpeg: 1},
		{copy: 1, dec: 1, jpeg: 1},
		{copy: 2, dec: 2, jpeg: 2},
		{copy: 3, dec: 3, jpeg: 3},
		{copy: 4, dec: 4, jpeg: 4},
		{copy: 8, dec: 7, jpeg: 7, ofa: 1},
	}, engines{copy: 1, dec: 1, jpeg: 1, ofa: 1}
}

func a100Profiles(big bool) []giProfile {
	eng, me := ampereEngines()
	g := geometry8{
		gb: [6]string{"5gb", "10gb", "10gb", "20gb", "20gb", "40gb"}, sms: [6]uint32{14, 14, 28, 42, 56, 98},
		mib: [6]uint64{4864, 9856, 9856, 19968, 19968, 40192}, eng: eng, me: me,
	}
	if big {
		g.gb = [6]string{"10gb", "20gb", "20gb", "40gb", "40gb", "80gb"}
		g.mib = [6]uint64{9728, 19968, 19968, 40192, 40192, 80896}
	}
	return axis8(g)
}

func h100Profiles() []giProfile {
	eng, me := hopperEngines()
	return axis8(geometry8{
		gb: [6]string{"10gb", "20gb", "20gb", "40gb", "40gb", "80gb"}, sms: [6]uint32{16, 26, 32, 60, 64, 132},
		mib: [6]uint64{9984, 20096, 20096, 40448, 40448, 81152}, eng: eng, me: me, p2p7g: true,
	})
}

func h200Profiles() []giProfile {
	eng, me := hopperEngines()
	return axis8(geometry8{
		gb: [6]string{"18gb", "35gb", "35gb", "71gb", "71gb", "141gb"}, sms: [6]uint32{16, 26, 32, 60, 64, 132},
		mib: [6]uint64{16384, 33280, 33280, 71424, 71424, 143616}, eng: eng, me: me, p2p7g: true,
	})
}

func b200Profiles() []giProfile {
	eng, me := hopperEngines()
	for i, c := range []uint32{2, 2, 3, 6, 8, 16} { // copy engines of the B200: 2,2,2,3,6,8,16 in the order 19,20,15,14,9,5,0
		eng[i].copy = c
	}
	me.copy = 2
	return axis8(geometry8{
		gb: [6]string{"23gb", "45gb", "45gb", "90gb", "90gb", "180gb"}, sms: [6]uint32{18, 30, 36, 70, 72, 148},
		mib: [6]uint64{22272, 45312, 45312, 91136, 91136, 182784}, eng: eng, me: me, p2p7g: true,
	})
}

// gb200Profiles have other names from branch 580 on; their sizes are the same.
func gb200Profiles() []giProfile {
	eng, me := hopperEngines()
	for i, c := range []uint32{2, 2, 3, 6, 8, 16} {
		eng[i].copy = c
	}
	me.copy = 2
	g := geometry8{
		gb: [6]string{"24gb", "47gb", "47gb", "95gb", "95gb", "189gb"}, sms: [6]uint32{18, 30, 36, 70, 76, 152},
		mib: [6]uint64{23552, 47104, 47104, 94720, 94720, 189056}, eng: eng, me: me, p2p7g: true,
	}
	later := axis8(g)
	g.gb = [6]string{"23gb", "47gb", "47gb", "93gb", "93gb", "186gb"}
	out := axis8(g)
	for i := range out {
		out[i].names = []naming{{0, out[i].name}, {580, later[i].name}}
	}
	return out
}

func a30Profiles() []giProfile {
	return []giProfile{
		{enum: 0, id: 14, name: "1g.6gb", slices: 1, size: 1, starts: []uint32{0, 1, 2, 3}, max: 4, sms: 14, memMiB: 5952, eng: engines{copy: 1}},
		{enum: 7, id: 21, name: "1g.6gb+me", slices: 1, size: 1, starts: []uint32{0, 1, 2, 3}, max: 1, sms: 14, memMiB: 5952, eng: engines{copy: 1, dec: 1, jpeg: 1, ofa: 1}},
		{enum: 1, id: 5, name: "2g.12gb", slices: 2, size: 2, starts: []uint32{0, 2}, max: 2, sms: 28, memMiB: 11968, eng: engines{copy: 2, dec: 2}},
		// The driver tells a wrong instanceCount on this card; which number is a guess (mig-parted overrides it).
		{enum: 8, id: 6, name: "2g.12gb+me", slices: 2, size: 2, starts: []uint32{0, 2}, max: 1, told: 2, sms: 28, memMiB: 11968, eng: engines{copy: 2, dec: 2, jpeg: 1, ofa: 1}, since: 525},
		{enum: 3, id: 0, name: "4g.24gb", slices: 4, size: 4, starts: []uint32{0}, max: 1, sms: 56, memMiB: 24000, eng: engines{copy: 4, dec: 4, jpeg: 1, ofa: 1}},
	}
}

// rtx6000Profiles are the eleven profiles of the RTX PRO 6000 Blackwell: 12 memory slices, 4 compute slices.
func rtx6000Profiles() []giProfile {
	one, two := []uint32{0, 3, 6, 9}, []uint32{0, 6}
	e1 := engines{copy: 1, dec: 1, enc: 1, jpeg: 1}
	e2 := engines{copy: 2, dec: 2, enc: 2, jpeg: 2}
	e4 := engines{copy: 4, dec: 4, enc: 4, jpeg: 4, ofa: 1}
	all := func(copies uint32) engines { return engines{copy: copies, dec: 4, enc: 4, jpeg: 4, ofa: 1} }
	p1 := func(enum, id uint32, attr string, most uint32, e engines, gfx bool) giProfile {
		return giProfile{enum: enum, id: id, name: "1g.24gb" + attr, slices: 1, size: 3, starts: one, max: most, sms: 46, memMiB: 24192, eng: e, gfx: gfx, since: 575}
	}
	p2 := func(enum, id uint32, attr string, most uint32, e engines, gfx bool) giProfile {
		return giProfile{enum: enum, id: id, name: "2g.48gb" + attr, slices: 2, size: 6, starts: two, max: most, sms: 94, memMiB: 48512, eng: e, gfx: gfx, since: 575}
	}
	return []giProfile{
		p1(0, 14, "", 4, e1, false),
		p1(10, 47, "+gfx", 4, e1, true),
		p1(7, 21, "+me", 1, engines{copy: 1, dec: 1, enc: 1, jpeg: 1, ofa: 1}, false),
		p1(15, 65, "+me.all", 1, all(1), false),
		p1(13, 67, "-me", 4, engines{copy: 1}, false),
		p2(1, 5, "", 2, e2, false),
		p2(11, 35, "+gfx", 2, e2, true),
		p2(16, 64, "+me.all", 1, all(2), false),
		p2(14, 66, "-me", 2, engines{copy: 2}, false),
		{enum: 3, id: 0, name: "4g.96gb", slices: 4, size: 12, starts: []uint32{0}, max: 1, sms: 188, memMiB: 97408, eng: e4, since: 575},
		{enum: 12, id: 32, name: "4g.96gb+gfx", slices: 4, size: 12, starts: []uint32{0}, max: 1, sms: 188, memMiB: 97408, eng: e4, gfx: true, since: 575},
	}
}

// oddProfiles are profiles that no header and no table knows: unknown enums, ids and names on an axis of 10.
func oddProfiles() []giProfile {
	return []giProfile{
		{enum: 0, id: 101, name: "1g.16gb", slices: 1, size: 2, starts: []uint32{0, 2, 4, 6, 8}, max: 5, sms: 20, memMiB: 16000, eng: engines{copy: 1}},
		{enum: 18, id: 119, name: "2q.30gb~turbo", slices: 2, size: 4, starts: []uint32{0, 5}, max: 2, sms: 41, memMiB: 31000, eng: engines{copy: 2, dec: 1}},
		{enum: 19, id: 203, name: "3h.48gb*x.y", slices: 3, size: 3, starts: []uint32{1, 7}, max: 2, sms: 60, memMiB: 48000, eng: engines{copy: 3, dec: 1}},
		{enum: 5, id: 77, name: "5g.80gb+zz", slices: 5, size: 10, starts: []uint32{0}, max: 1, sms: 100, memMiB: 80000, eng: engines{copy: 5, dec: 4}},
	}
}
