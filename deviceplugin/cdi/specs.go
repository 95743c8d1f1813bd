package cdi

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"sync"
	"time"

	"tags.cncf.io/container-device-interface/specs-go"

	"github.com/gpulet/gpulet/deviceplugin"
	"github.com/gpulet/gpulet/gpu"
)

// Specs keeps the specs true. It implements deviceplugin.Specs.
type Specs struct {
	cfg    Config
	folder folder

	// view is what the answers are made from; it is replaced under mu.
	view  *gpu.Feed[*view]
	again chan struct{} // asks Run to look again

	// mu guards the folder and the fields below.
	mu sync.Mutex
	// seen are the devices that the last snapshot has, written those of them with a spec of this process, both by id.
	seen, written map[string]identity
	// withdrawn are devices that are about to go, by id: their specs stay away until the inventory has seen them go.
	withdrawn map[string]identity
	driver    driverFiles
	warned    []string
}

// identity is the hardware that a spec stands for.
type identity struct {
	gpu      gpu.UUID
	minor    int
	realized gpu.Realized // zero of a whole GPU
}

// view is what is known of all devices at one moment. Immutable.
type view struct {
	devices map[string]entry
	control []node
	driver  DriverState
	reasons []string
	known   bool
}

type entry struct {
	nodes []node
	file  string // empty: no spec
	err   error  // why the device is not ready
}

// New makes Specs. Nothing is written before Run has a snapshot.
func New(cfg Config) *Specs {
	cfg = cfg.withDefaults()
	return &Specs{
		cfg: cfg, folder: folder{cfg.Dir, ours}, again: make(chan struct{}, 1), view: gpu.NewFeed(&view{}),
		written: map[string]identity{}, withdrawn: map[string]identity{},
	}
}

// Run follows the inventory until ctx ends; the specs stay, so that containers can start while no agent runs.
// Specs of an earlier run are judged with the first snapshot, not before.
func (s *Specs) Run(ctx context.Context, snapshots *gpu.Feed[*gpu.Snapshot]) error {
	tick := time.NewTicker(s.cfg.Every)
	defer tick.Stop()
	rediscover := true
	version := ""
	for {
		snapshot, changed := snapshots.Get()
		if snapshot.Version > 0 {
			s.reconcile(snapshot, rediscover || snapshot.Driver.Version != version)
			rediscover, version = false, snapshot.Driver.Version
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-s.again:
		case <-tick.C:
			rediscover = true
		}
	}
}

// reconcile makes the folder say what the snapshot says.
func (s *Specs) reconcile(snapshot *gpu.Snapshot, rediscover bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := look(s.cfg.ProcRoot, s.cfg.DevRoot)
	defer m.close()

	next := &view{devices: map[string]entry{}, known: true, control: m.control()}
	keep := map[string]bool{driverFile: true}
	wanted := s.wanted(m, snapshot)
	for id, w := range wanted {
		if w.err == nil || s.written[id] == w.identity {
			keep[fileName(id)] = true // what stands for the same hardware stays usable while the kernel's files are not
		} else {
			delete(s.written, id)
		}
	}
	s.removeOthers(m, keep)
	if rediscover {
		s.driver = discover(s.cfg.DriverRoot, snapshot.Driver.Version)
	}
	next.driver = s.writeDriver(next.control)
	nodes := slices.Clone(next.control)
	for id, w := range wanted {
		e := entry{nodes: w.nodes, err: w.err}
		if w.err == nil {
			e.err = s.writeDevice(id, w)
		}
		if _, ok := s.written[id]; ok {
			e.file = fileName(id)
		}
		nodes = append(nodes, w.nodes...)
		next.devices[id] = e
	}
	m.provide(nodes)
	next.reasons = m.reasons
	s.view.Set(next)
	s.warn(next)
}

// device is a device of the inventory with what its spec shall say.
type device struct {
	identity identity
	nodes    []node
	err      error
}

// wanted are the devices that exist in a snapshot, by id, whether they are healthy or not: a container that has a lost GPU
// shall fail at the GPU, not at a missing spec. What is being withdrawn is not among them.
func (s *Specs) wanted(m *machine, snapshot *gpu.Snapshot) map[string]device {
	wanted := map[string]device{}
	s.seen = map[string]identity{}
	for _, o := range gpu.StaticOffers(snapshot).Offers {
		id, g := o.Device.ID(), snapshot.GPU(o.Device.GPU)
		if _, twice := s.seen[id]; twice {
			continue
		}
		d := device{identity: identity{gpu: g.UUID, minor: g.Minor}}
		if o.Realized != nil {
			d.identity.realized = *o.Realized
		}
		s.seen[id] = d.identity
		if gone, ok := s.withdrawn[id]; ok {
			if gone == d.identity {
				continue
			}
			delete(s.withdrawn, id) // it was made anew
		}
		d.nodes, d.err = deviceNodes(m, g, o)
		wanted[id] = d
	}
	maps.DeleteFunc(s.withdrawn, func(id string, _ identity) bool {
		_, present := s.seen[id]
		return !present
	})
	return wanted
}

// removeOthers removes each of our specs that is not to be kept.
func (s *Specs) removeOthers(m *machine, keep map[string]bool) {
	names, err := s.folder.list()
	if err != nil {
		m.note("list the CDI specs: " + err.Error())
	}
	for _, name := range names {
		if keep[name] {
			continue
		}
		if err := s.folder.remove(name); err != nil {
			m.note(fmt.Sprintf("remove %s: %v", name, err))
			continue
		}
		s.cfg.Log.Info("removed a CDI spec", "file", name, "reason", "what it stands for is gone")
	}
	maps.DeleteFunc(s.written, func(id string, _ identity) bool { return !keep[fileName(id)] })
}

func (s *Specs) writeDevice(id string, d device) error {
	data, err := encode(spec(gpuClass, id, specs.ContainerEdits{DeviceNodes: s.cfg.edit(d.nodes)}))
	if err != nil {
		return err
	}
	changed, err := s.folder.write(fileName(id), data)
	if err != nil {
		if s.written[id] == d.identity {
			return err
		}
		delete(s.written, id) // what is there may stand for another instance: no spec is better
		return errors.Join(err, s.folder.remove(fileName(id)))
	}
	s.written[id] = d.identity
	if changed {
		s.cfg.Log.Info("wrote a CDI spec", "device", id)
	}
	return nil
}

// warn logs reasons once.
func (s *Specs) warn(v *view) {
	reasons := slices.Clone(v.reasons)
	if v.driver.Reason != "" {
		reasons = append(reasons, v.driver.Reason)
	}
	for id, e := range v.devices {
		if e.err != nil {
			reasons = append(reasons, id+": "+e.err.Error())
		}
	}
	for _, r := range reasons {
		if !slices.Contains(s.warned, r) {
			s.cfg.Log.Warn("CDI specs are not complete", "reason", r)
		}
	}
	s.warned = reasons
}

// Name is the CDI device name of a device. Replicas share that of their base.
func (s *Specs) Name(d gpu.Device) string { return qualified(gpuClass, d.Base().ID()) }

// DriverName is the CDI device of the driver's libraries and control nodes.
func (s *Specs) DriverName() string { return qualified(driverClass, driverName) }

// Ready reports whether a container can get a device by its name now; the error says why not. It answers from memory.
func (s *Specs) Ready(d gpu.Device) error {
	v, _ := s.view.Get()
	e, ok := v.devices[d.Base().ID()]
	switch {
	case !v.known:
		return errors.New("the GPUs of this node are not known yet")
	case !ok && d.Kind == gpu.Slice:
		return errors.New("its MIG instance does not exist")
	case !ok:
		return errors.New("the GPU is not there as a whole")
	case e.err != nil:
		return e.err
	case v.driver.File == "":
		return errors.New(v.driver.Reason)
	}
	return nil
}

// Changed is closed when Ready may say something else than at this moment.
func (s *Specs) Changed() <-chan struct{} {
	_, changed := s.view.Get()
	return changed
}

// Nodes are the device nodes of a device and those of the driver, for runtimes that are told nodes instead of names.
// It answers from memory.
func (s *Specs) Nodes(d gpu.Device) ([]deviceplugin.DeviceNode, error) {
	if err := s.Ready(d); err != nil {
		return nil, err
	}
	v, _ := s.view.Get()
	var out []deviceplugin.DeviceNode
	for _, n := range slices.Concat(v.devices[d.Base().ID()].nodes, v.control) {
		out = append(out, deviceplugin.DeviceNode{ContainerPath: "/dev/" + n.name, HostPath: path.Join(s.cfg.HostDevRoot, n.name)})
	}
	return out, nil
}
