package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gpulet/gpulet/test/gpusim/model"
)

const (
	whole  = "nvidia.com/gpu"
	slice  = "nvidia.com/mig-1g.10gb"
	shared = "nvidia.com/gpu.shared"

	divided  = 7 // the GPU in MIG mode
	replicas = 4

	// settings is the configuration without rules: trust returns faster than in production, so that the demonstration is short.
	settings = "version: gpulet.dev/v1\nhealth: {interval: 1s, quarantine: 3s, cleanProbes: 2}\n"
)

// scenario plays all steps and stops at the first that does not come out right.
func scenario(ctx context.Context, r *report, n node) error {
	s := &stage{report: r, node: n, pids: map[string][]int{}}
	for _, step := range []func(context.Context) error{
		s.registers, s.aPodGetsAGPU, s.twoGPUsAreNeighbours, s.offersFollowTheHardware, s.podsGetSlices,
		s.sharingIsLoaded, s.aGPUFallsOffTheBus, s.theAgentCrashes, s.status, s.metrics,
	} {
		if err := step(ctx); err != nil {
			if ctx.Err() != nil {
				return context.Canceled
			}
			s.result("FAILED: %v", err)
			return fmt.Errorf("step %d failed", r.step)
		}
	}
	return nil
}

// stage is what the steps share.
type stage struct {
	*report
	node
	pods map[string]grant
	pids map[string][]int // of the pods' processes on GPUs
}

func (s *stage) gpu(index int) model.GPUStatus { return s.hardware().Model.Status().GPUs[index] }

// index finds the GPU of a device id.
func (s *stage) index(id string) int {
	for _, g := range s.hardware().Model.Status().GPUs {
		if strings.HasPrefix(id, g.UUID) {
			return g.Index
		}
	}
	return -1
}

// start runs a pod and prints what it got.
func (s *stage) start(ctx context.Context, name, resource string, n int64) (grant, error) {
	g, err := s.run(ctx, name, resource, n)
	if err != nil {
		return g, err
	}
	if len(g.devices) != int(n) {
		return g, fmt.Errorf("pod %s has %d devices instead of %d", name, len(g.devices), n)
	}
	for other, o := range s.pods {
		for _, id := range g.devices {
			if slices.Contains(o.devices, id) {
				return g, fmt.Errorf("%s of pod %s was given to pod %s too", id, other, name)
			}
		}
	}
	if s.pods == nil {
		s.pods = map[string]grant{}
	}
	s.pods[name] = g
	s.result("pod %q asked for %d of %s and runs", name, n, resource)
	s.detail("%v", g)
	return g, s.work(ctx, name, g)
}

func (s *stage) registers(ctx context.Context) error {
	s.begin("The agent registers with the kubelet.")
	ids, err := offered(ctx, s, whole, "seven GPUs", func(ids []string) bool { return len(ids) == divided })
	if err != nil {
		return err
	}
	s.result("%d of %s are offered; GPU %d is in MIG mode without instances and is withheld", len(ids), whole, divided)
	return nil
}

func (s *stage) aPodGetsAGPU(ctx context.Context) error {
	s.begin("A pod asks for a GPU.")
	_, err := s.start(ctx, "trainer", whole, 1)
	return err
}

func (s *stage) twoGPUsAreNeighbours(ctx context.Context) error {
	s.begin("A pod asks for two GPUs and gets a pair behind one PCIe switch.")
	g, err := s.start(ctx, "pair", whole, 2)
	if err != nil {
		return err
	}
	a, b := s.index(g.devices[0]), s.index(g.devices[1])
	if s.gpu(a).NUMA != s.gpu(b).NUMA {
		return fmt.Errorf("GPU %d is on NUMA node %d and GPU %d on %d", a, s.gpu(a).NUMA, b, s.gpu(b).NUMA)
	}
	s.result("GPU %d (%s) and GPU %d (%s), both on NUMA node %d", a, s.gpu(a).PCI, b, s.gpu(b).PCI, s.gpu(a).NUMA)
	return nil
}

func (s *stage) offersFollowTheHardware(ctx context.Context) error {
	s.begin("An administrator divides GPU %d from outside: two 1g.10gb and one 3g.40gb.", divided)
	for _, profile := range []string{"3g.40gb", "1g.10gb", "1g.10gb"} {
		if _, _, err := s.hardware().CreateInstance(ctx, divided, profile, nil); err != nil {
			return err
		}
	}
	made := time.Now()
	if _, err := offered(ctx, s, slice, "two slices", func(ids []string) bool { return len(ids) == 2 }); err != nil {
		return err
	}
	if _, err := offered(ctx, s, "nvidia.com/mig-3g.40gb", "one big slice", func(ids []string) bool { return len(ids) == 1 }); err != nil {
		return err
	}
	took := time.Since(made)
	s.result("2 of %s and 1 of nvidia.com/mig-3g.40gb are offered, %s after the last was made", slice, seconds(took))
	if took > 5*time.Second {
		return fmt.Errorf("the offers took %s, more than 5 s", took)
	}
	return nil
}

func (s *stage) podsGetSlices(ctx context.Context) error {
	s.begin("Two pods ask for slices of it.")
	for _, name := range []string{"small-1", "small-2"} {
		if _, err := s.start(ctx, name, slice, 1); err != nil {
			return err
		}
	}
	return nil
}

// sharingIsLoaded shares two GPUs of which one is in use: that one follows when its pod has ended.
func (s *stage) sharingIsLoaded(ctx context.Context) error {
	trainer := s.pods["trainer"]
	held := s.index(trainer.devices[0])
	ids, err := s.healthy(ctx, whole)
	if err != nil {
		return err
	}
	free := s.freeGPU(ids)
	s.begin("A new configuration shares GPUs %d and %d, %d replicas each. GPU %[1]d is in use.", held, free, replicas)
	if err := s.configure(ctx, fmt.Sprintf(
		"gpus:\n  - match: {indexes: [%d, %d]}\n    sharing: {%s: {replicas: %d, rename: %s}}\n", held, free, whole, replicas, shared)); err != nil {
		return err
	}
	if ids, err = offered(ctx, s, shared, "the replicas", func(ids []string) bool { return len(ids) >= replicas }); err != nil {
		return err
	}
	if slices.ContainsFunc(ids, func(id string) bool { return s.index(id) == held }) {
		return fmt.Errorf("GPU %d is in use by pod trainer and shared all the same: %s", held, strings.Join(ids, " "))
	}
	s.result("%d of %s are offered, all of GPU %d: GPU %d still belongs to pod \"trainer\"", len(ids), shared, free, held)
	if _, err := s.start(ctx, "notebook", shared, 1); err != nil {
		return err
	}
	if err := s.rest(ctx, "trainer"); err != nil {
		return err
	}
	if err := s.end(ctx, "trainer"); err != nil {
		return err
	}
	delete(s.pods, "trainer")
	if ids, err = offered(ctx, s, shared, "the replicas of both", func(ids []string) bool { return len(ids) == 2*replicas }); err != nil {
		return err
	}
	s.result("pod \"trainer\" ended: %d of %s are offered", len(ids), shared)
	return nil
}

// freeGPU is the first GPU of these devices that no pod has.
func (s *stage) freeGPU(ids []string) int {
	for _, g := range s.hardware().Model.Status().GPUs {
		is := func(id string) bool { return s.index(id) == g.Index }
		taken := false
		for _, p := range s.pods {
			taken = taken || slices.ContainsFunc(p.devices, is)
		}
		if !taken && slices.ContainsFunc(ids, is) {
			return g.Index
		}
	}
	return -1
}

func (s *stage) aGPUFallsOffTheBus(ctx context.Context) error {
	before, err := offered(ctx, s, whole, "five GPUs, without the shared ones", func(ids []string) bool { return len(ids) == divided-2 })
	if err != nil {
		return err
	}
	lost := s.freeGPU(before)
	s.begin("GPU %d falls off the bus: XID 79.", lost)
	if err := s.hardware().SetLost(ctx, lost, true); err != nil {
		return err
	}
	if _, err := offered(ctx, s, whole, "one GPU less", func(ids []string) bool { return len(ids) == len(before)-1 }); err != nil {
		return err
	}
	s.result("it is Unhealthy, %d of %s are left", len(before)-1, whole)
	why, err := s.gpulet(ctx, "explain", strconv.Itoa(lost))
	if err != nil {
		return err
	}
	if !strings.Contains(why, "lost") && !strings.Contains(why, "XID 79") {
		return fmt.Errorf("gpulet explain %d gives no reason: %s", lost, why)
	}
	s.detail("$ gpulet explain %d\n%s", lost, why)
	if err := s.hardware().SetLost(ctx, lost, false); err != nil {
		return err
	}
	reset := time.Now()
	if _, err := offered(ctx, s, whole, "the GPU again", func(ids []string) bool { return slices.Equal(ids, before) }); err != nil {
		return err
	}
	s.result("%s after a reset it has answered well for long enough and is offered again", seconds(time.Since(reset)))
	return nil
}

// theAgentCrashes looks that nobody notices.
func (s *stage) theAgentCrashes(ctx context.Context) error {
	s.begin("The agent is killed and starts again.")
	before, err := s.healthy(ctx, whole)
	if err != nil {
		return err
	}
	if err := s.crash(ctx); err != nil {
		return err
	}
	if err := until(ctx, "the agent's answer", func(ctx context.Context) (bool, error) {
		_, err := s.gpulet(ctx, "status")
		return err == nil, err
	}); err != nil {
		return err
	}
	if _, err := offered(ctx, s, whole, "the same GPUs", func(ids []string) bool { return slices.Equal(ids, before) }); err != nil {
		return err
	}
	s.result("all devices are offered again")
	for _, name := range slices.Sorted(maps.Keys(s.pods)) {
		now, err := s.pod(ctx, name)
		if err != nil {
			return err
		}
		if was := s.pods[name]; now.container != was.container || !slices.Equal(now.devices, was.devices) || !slices.Equal(now.nodes, was.nodes) {
			return fmt.Errorf("pod %s was touched: it had %v, it has %v", name, was, now)
		}
	}
	s.result("%d pods run on in the same containers with the same devices", len(s.pods))
	_, err = s.start(ctx, "late", whole, 1)
	return err
}

func (s *stage) status(ctx context.Context) error {
	s.begin("The agent tells everything: gpulet status.")
	text, err := s.gpulet(ctx, "status")
	if err != nil {
		return err
	}
	s.detail("%s", text)
	return nil
}
