package model

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Node is one simulated machine. It is safe for concurrent use.
type Node struct {
	shape   Shape
	clock   Clock
	strict  bool
	symbols map[string]Branch
	minors  string // content of mig-minors

	mu         sync.Mutex // guards everything below, the GPUs and the clients' contents
	rng        *rand.Rand
	driver     string
	branch     Branch
	loaded     bool
	epoch      uint64 // grows with every boot and driver load; a client of an older epoch is uninitialised
	bootID     string
	loadedAt   time.Time
	bootedAt   time.Time
	xids       []XID
	xidSeq     uint64
	collapse   bool
	gpus       []*gpu // in PCI order; index is the position among those that the driver knows
	clients    map[*Client]struct{}
	devices    map[Device]target
	gis        map[GPUInstance]*gpuInstance
	cis        map[ComputeInstance]*computeInstance
	lastHandle uint64
	lastPID    int
	faults     faults
	holds      []*Hold
	lastHold   int
	calls      map[string]uint64
	changed    chan struct{}
}

// target is what a Device handle means: a GPU, or one compute instance of it.
type target struct {
	g  *gpu
	ci *computeInstance // nil: the GPU itself
}

// gpu is one GPU's state.
type gpu struct {
	spec   *spec
	slot   int // position in the machine, in PCI order
	handle Device
	uuid   string
	serial string
	pci    PciInfo
	minor  uint32
	numa   int
	swtch  int // PCIe switch

	mig, migPending bool
	fabricFrom      time.Time // registration with the fabric began
	instances       []*gpuInstance
	startMIG        bool // the shape boots with MIG mode on
	made            []InstanceShape
	procs           []*process
	load            loadState
	meter           meter
	heat            float64 // 0 idle to 1 busy, lags behind power

	lost     bool
	hang     *hang
	leaks    int
	recovery uint32

	ecc            [2][2][eccLocations]uint64 // corrected/uncorrected, volatile/aggregate
	rows           RemappedRows
	retired        [2][]retiredPage
	retiredPending bool
	linksDown      map[uint32]bool
	linkErrors     map[[2]uint32]uint64
	replays        uint32
	eccOn          bool
	eccPending     bool
	persistence    bool
	computeMode    uint32
	limitMW        uint32
	gpmStream      bool
	accounting     bool
	accounts       []*account
}

type retiredPage struct{ address, at uint64 }

// New builds a node of the shape and boots it.
func New(shape Shape, opts Options) (*Node, error) {
	if err := shape.validate(); err != nil {
		return nil, fmt.Errorf("shape %s: %w", shape.Name, err)
	}
	n := &Node{
		shape: shape, clock: opts.Clock, strict: opts.StrictHandles, collapse: opts.CollapseXIDs, symbols: Symbols(), minors: migMinors(), driver: shape.Driver,
		rng:     rand.New(rand.NewPCG(opts.Seed, 0x6770756c6574)),
		clients: map[*Client]struct{}{}, calls: map[string]uint64{}, changed: make(chan struct{}), lastPID: 4000,
	}
	if n.clock == nil {
		n.clock = SystemClock{}
	}
	if opts.Driver != "" {
		n.driver = opts.Driver
	}
	if n.branch = BranchOf(n.driver); n.branch == 0 {
		return nil, fmt.Errorf("driver version %q has no branch", n.driver)
	}
	if err := n.build(); err != nil {
		return nil, fmt.Errorf("shape %s: %w", shape.Name, err)
	}
	n.boot()
	for _, g := range n.gpus {
		if err := n.premake(g); err != nil {
			return nil, fmt.Errorf("shape %s: GPU %d: %w", shape.Name, g.slot, err)
		}
	}
	return n, nil
}

// boot starts a new epoch with the driver loaded. The caller holds mu, or owns n alone.
func (n *Node) boot() {
	n.bootID, n.bootedAt = n.uuid(), n.clock.Now()
	n.xids, n.xidSeq = nil, 0
	for _, g := range n.gpus {
		g.procs, g.lost, g.leaks, g.recovery = nil, false, 0, 0
		n.unhang(g)
		n.resetState(g)
	}
	n.load()
}

// load is what loading the module does: new handles, volatile state fresh.
func (n *Node) load() {
	n.epoch++
	n.loaded, n.loadedAt = true, n.clock.Now()
	n.devices = map[Device]target{}
	n.gis = map[GPUInstance]*gpuInstance{}
	n.cis = map[ComputeInstance]*computeInstance{}
	for _, g := range n.gpus {
		g.instances = nil
		g.spec.rename(n.branch)
		g.meter = meter{at: n.loadedAt}
		g.fabricFrom = n.loadedAt.Add(-fabricTime)
		g.handle = Device(n.newHandle())
		n.devices[g.handle] = target{g: g}
		g.mig = g.migPending && !g.spec.modeImmediate // Ampere keeps it in the InfoROM
		g.migPending = g.mig
	}
	n.bump()
}

func (n *Node) newHandle() uint64 { n.lastHandle++; return n.lastHandle }

// bump tells that files or layout changed.
func (n *Node) bump() {
	close(n.changed)
	n.changed = make(chan struct{})
}

// Changed gives a channel that is closed at the next change of Files or of Status's layout.
func (n *Node) Changed() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.changed
}

// uuid draws a version 4 UUID.
func (n *Node) uuid() string {
	hi, lo := n.rng.Uint64(), n.rng.Uint64()
	hi = hi&^0xF000 | 0x4000
	lo = lo&^(0xC<<60) | 0x8<<60
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", hi>>32, hi>>16&0xFFFF, hi&0xFFFF, lo>>48, lo&(1<<48-1))
}

// visible lists the GPUs that the loaded driver knows, in index order.
func (n *Node) visible() []*gpu {
	out := make([]*gpu, 0, len(n.gpus))
	for _, g := range n.gpus {
		if n.knows(g) {
			out = append(out, g)
		}
	}
	return out
}

func (n *Node) knows(g *gpu) bool { return n.loaded && n.branch >= g.spec.since }

func (n *Node) index(g *gpu) int { return slices.Index(n.visible(), g) }

// FindGPU gives the machine's position of a GPU by position, UUID or PCI address; it is the number that the node's methods take.
func (n *Node) FindGPU(selector string) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if i, err := strconv.Atoi(selector); err == nil && i >= 0 && i < len(n.gpus) {
		return i, nil
	}
	for i, g := range n.gpus {
		if strings.EqualFold(selector, g.uuid) || samePCI(selector, g.pci) {
			return i, nil
		}
	}
	return 0, fmt.Errorf("no GPU %q among %d", selector, len(n.gpus))
}

// at gives a GPU by position. The caller holds mu.
func (n *Node) at(i int) (*gpu, error) {
	if i < 0 || i >= len(n.gpus) {
		return nil, fmt.Errorf("no GPU %d among %d", i, len(n.gpus))
	}
	return n.gpus[i], nil
}

// withGPU runs f under mu.
func (n *Node) withGPU(i int, f func(g *gpu) error) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	g, err := n.at(i)
	if err != nil {
		return err
	}
	return f(g)
}

// Calls counts the calls by C name since the start.
func (n *Node) Calls() map[string]uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := make(map[string]uint64, len(n.calls))
	for k, v := range n.calls {
		out[k] = v
	}
	return out
}

// DriverVersion is the version that is loaded or would be.
func (n *Node) DriverVersion() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.driver
}

// Now is the node's time.
func (n *Node) Now() time.Time { return n.clock.Now() }
