package model

import (
	"cmp"
	"fmt"
	"slices"
)

// build makes the GPUs of the shape, in PCI order.
func (n *Node) build() error {
	if n.shape.NUMANodes == 0 {
		n.shape.NUMANodes = 1
	}
	if n.shape.CPUs == 0 {
		n.shape.CPUs = 64
	}
	var list []GPUShape
	for _, s := range n.shape.GPUs {
		for range max(s.Count, 1) {
			list = append(list, s)
		}
	}
	for i, s := range list {
		sp := specOf(s.Model)
		address := [3]uint32{0, uint32(0x07 + 0x10*i), 0}
		if s.PCI != "" {
			address, _ = parsePCI(s.PCI)
		}
		g := &gpu{
			spec: sp, uuid: "GPU-" + n.uuid(), serial: fmt.Sprintf("1%012d", n.rng.Uint64N(1e12)), numa: -1, made: s.Instances, startMIG: s.MIG || len(s.Instances) > 0,
			pci: pciInfo(address, sp.pciDevice, sp.pciSubsystem, 3, 2), linksDown: map[uint32]bool{}, linkErrors: map[[2]uint32]uint64{},
			eccPending: sp.ecc, minor: NoInstance,
		}
		if s.UUID != "" {
			g.uuid = s.UUID
		}
		if s.Serial != "" {
			g.serial = s.Serial
		}
		if s.Minor != nil {
			g.minor = uint32(*s.Minor)
		}
		if s.NUMA != nil {
			g.numa = *s.NUMA
		}
		n.gpus = append(n.gpus, g)
	}
	slices.SortStableFunc(n.gpus, func(a, b *gpu) int {
		return cmp.Or(cmp.Compare(a.pci.Domain, b.pci.Domain), cmp.Compare(a.pci.Bus, b.pci.Bus), cmp.Compare(a.pci.Device, b.pci.Device))
	})
	for i, g := range n.gpus {
		g.slot = i
		if g.minor == NoInstance {
			g.minor = uint32(i)
		}
		if g.numa < 0 {
			g.numa = i * n.shape.NUMANodes / len(n.gpus)
		}
		g.swtch = i
		if n.shape.GPUsPerSwitch > 0 {
			g.swtch = i / n.shape.GPUsPerSwitch
		}
		if i > 0 && g.pci == n.gpus[i-1].pci {
			return fmt.Errorf("two GPUs at %s", g.pci.Sysfs())
		}
		for _, o := range n.gpus[:i] {
			if o.minor == g.minor || o.uuid == g.uuid {
				return fmt.Errorf("GPUs %d and %d share minor %d or UUID %s", o.slot, i, g.minor, g.uuid)
			}
		}
	}
	return nil
}

// resetState is what a GPU reset clears: pending things take effect, volatile counts go.
func (n *Node) resetState(g *gpu) {
	for k := range g.ecc {
		g.ecc[k][0] = [eccLocations]uint64{}
	}
	g.rows.Pending, g.retiredPending = false, false
	g.eccOn = g.eccPending
	g.computeMode = 0
	g.limitMW = g.spec.limitW * 1000
	g.gpmStream, g.accounting, g.accounts = false, false, nil
	g.persistence = false
	g.load = loadState{}
	g.heat, g.replays = 0, 0
	g.recovery = 0
}

// premake switches MIG mode on and makes the instances that the shape has at its first boot.
func (n *Node) premake(g *gpu) error {
	if !n.knows(g) || !g.startMIG {
		return nil
	}
	g.mig, g.migPending = true, true
	for _, s := range g.made {
		i := slices.IndexFunc(g.spec.profiles, func(p giProfile) bool { return p.name == s.Profile && n.shows(g, &p) })
		if i < 0 {
			return fmt.Errorf("%s has no profile %q under driver %s", g.spec.name, s.Profile, n.driver)
		}
		p := &g.spec.profiles[i]
		var pl Placement
		var ok bool
		if s.Start != nil {
			pl = Placement{Start: uint32(*s.Start), Size: p.size}
			ok = p.allows(pl) && n.fits(g, p, pl)
		} else {
			pl, ok = n.choose(g, p)
		}
		if !ok {
			return fmt.Errorf("no room for %s", s.Profile)
		}
		if err := n.precompute(n.createGI(g, p, pl), s.Compute); err != nil {
			return err
		}
	}
	return nil
}

// precompute makes compute instances by their slices ("1c"); none named: one that fills the instance.
func (n *Node) precompute(gi *gpuInstance, names []string) error {
	if len(names) == 0 {
		names = []string{fmt.Sprintf("%dc", gi.profile.slices)}
	}
	for _, name := range names {
		if name == "none" {
			continue
		}
		done := false
		for _, p := range gi.profile.ciProfiles() {
			if fmt.Sprintf("%dc", p.slices) != name {
				continue
			}
			for _, pl := range p.placements() {
				if !done && gi.ciFits(p, pl) {
					n.createCI(gi, p, pl)
					done = true
				}
			}
		}
		if !done {
			return fmt.Errorf("no room for compute instance %s in %s", name, gi.profile.name)
		}
	}
	return nil
}

// Reboot starts the machine anew: every client, process and instance is gone; the MIG mode, the pending one if there is, stays on
// Ampere only. Loads end; injected call errors and latency stay, as they belong to the test.
func (n *Node) Reboot() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dropClients()
	n.boot()
	n.releaseHolds()
}

func (n *Node) dropClients() {
	for c := range n.clients {
		c.drop()
	}
}

// ResetGPU is nvidia-smi --gpu-reset: it activates a pending MIG mode, applies pending remaps and ECC modes, clears volatile counts
// and brings a lost or hung GPU back; MIG instances go. InUse while processes run or clients hold the GPU.
func (n *Node) ResetGPU(index int) Return {
	n.mu.Lock()
	defer n.mu.Unlock()
	g, err := n.at(index)
	switch {
	case err != nil:
		return InvalidArgument
	case !n.knows(g):
		return DriverNotLoaded
	case len(g.procs) > 0 || len(n.holders(g, nil)) > 0:
		return InUse
	}
	n.advance(g)
	n.unhang(g)
	g.lost = false
	for _, gi := range slices.Clone(g.instances) {
		for _, ci := range slices.Clone(gi.cis) {
			n.destroyCI(ci)
		}
		n.destroyGI(gi)
	}
	n.resetState(g)
	g.fabricFrom = n.clock.Now()
	if g.mig != g.migPending {
		n.setMode(g, g.migPending)
	}
	n.bump()
	return Success
}

// UnloadDriver removes the kernel module; an error while processes run or clients hold GPUs, unless force ends them.
func (n *Node) UnloadDriver(force bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.loaded {
		return nil
	}
	for i, g := range n.gpus {
		if held := n.holders(g, nil); !force && (len(held) > 0 || len(g.procs) > 0) {
			return fmt.Errorf("GPU %d is in use: %d processes, %v: %w", i, len(g.procs), held, InUse)
		}
	}
	n.unload()
	return nil
}

func (n *Node) unload() {
	n.dropClients()
	n.loaded = false
	n.epoch++
	n.devices, n.gis, n.cis = nil, nil, nil
	for _, g := range n.gpus {
		g.procs, g.instances = nil, nil
		n.unhang(g)
		n.resetState(g)
	}
	n.bump()
}

// LoadDriver loads the module, in another version unless empty. Loaded already, it is unloaded by force first.
func (n *Node) LoadDriver(version string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if version == "" {
		version = n.driver
	}
	branch := BranchOf(version)
	if branch == 0 {
		return fmt.Errorf("driver version %q has no branch", version)
	}
	if n.loaded {
		n.unload()
	}
	n.driver, n.branch = version, branch
	n.load()
	return nil
}

// Status is the node in one picture.
func (n *Node) Status() Status {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := Status{Shape: n.shape.Name, Driver: n.driver, BootID: n.bootID, Loaded: n.loaded, Cuda: fmt.Sprintf("%d.%d", n.cuda()/1000, n.cuda()%1000/10)}
	for c := range n.clients {
		s.Clients = append(s.Clients, c.caller)
	}
	slices.SortFunc(s.Clients, func(a, b Caller) int { return cmp.Compare(a.PID, b.PID) })
	for _, g := range n.gpus {
		x := GPUStatus{
			Index: n.index(g), Minor: g.minor, UUID: g.uuid, Name: g.spec.name, PCI: g.pci.Sysfs(), NUMA: g.numa,
			MIG: g.mig, MIGPending: g.migPending, Lost: g.lost, Hung: g.hang != nil, Holders: n.holders(g, nil),
		}
		for _, gi := range g.instances {
			i := InstanceStatus{GI: gi.id, Profile: gi.profile.name, ProfileID: gi.profile.id, Placement: gi.place}
			for _, ci := range gi.cis {
				i.Compute = append(i.Compute, ComputeStatus{CI: ci.id, Profile: ci.profile.name, ProfileID: ci.profile.id, Placement: ci.place, UUID: ci.uuid})
			}
			x.Instances = append(x.Instances, i)
		}
		for _, p := range g.procs {
			q := ProcessStatus{PID: p.PID, Name: p.Name, Kind: p.Kind, Memory: p.Memory, GI: NoInstance, CI: NoInstance}
			if p.ci != nil {
				q.GI, q.CI = p.gi.id, p.ci.id
			}
			x.Processes = append(x.Processes, q)
		}
		s.GPUs = append(s.GPUs, x)
	}
	return s
}
