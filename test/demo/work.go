package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/gpulet/gpulet/gpu"
	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/sim"
)

// work puts a process of a pod on each of its devices, as a program in the container would. The simulated machine's /proc says whose
// it is.
func (s *stage) work(ctx context.Context, name string, g grant) error {
	const gib = 1 << 30
	load := uint32(25 + 10*len(s.pods))
	for _, id := range g.devices {
		parts, err := gpu.ParseDeviceID(id)
		if err != nil {
			return err
		}
		target := sim.Whole(s.index(id))
		memory := uint64(20 * gib)
		if parts.Kind == gpu.Slice {
			memory = 4 * gib
			for _, in := range s.gpu(target.GPU).Instances {
				if int(in.Placement.Start) == parts.Start {
					target = sim.In(target.GPU, in.GI)
				}
			}
		}
		pid, err := s.hardware().StartProcess(ctx, target, model.ProcessSpec{Name: name, SM: load, Mem: load / 2, Memory: memory})
		if err != nil {
			return fmt.Errorf("a process of pod %s on %s: %w", name, id, err)
		}
		s.pids[name] = append(s.pids[name], pid)
		dir := s.processDir(pid)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		slice := strings.ReplaceAll(g.uid, "-", "_")
		cgroup := fmt.Sprintf("0::/kubepods.slice/kubepods-pod%s.slice/cri-containerd-%064x.scope\n", slice, pid)
		if err := os.WriteFile(filepath.Join(dir, "cgroup"), []byte(cgroup), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// rest ends the processes of a pod.
func (s *stage) rest(ctx context.Context, name string) error {
	for _, pid := range s.pids[name] {
		if err := s.hardware().StopProcess(ctx, pid); err != nil {
			return err
		}
		if err := os.RemoveAll(s.processDir(pid)); err != nil {
			return err
		}
	}
	delete(s.pids, name)
	return nil
}

func (s *stage) processDir(pid int) string {
	return filepath.Join(s.hardware().Root("proc"), strconv.Itoa(pid))
}

// metrics prints what Prometheus learns of the pods.
func (s *stage) metrics(ctx context.Context) error {
	s.begin("What Prometheus learns of the pods: gpulet metrics.")
	families := []string{"gpu_pod_utilization_ratio", "gpu_pod_memory_used_bytes", "DCGM_FI_DEV_GPU_UTIL", "gpu_allocated_seconds_total"}
	match := fmt.Sprintf(`^(%s)\{.*pod="[^"]`, strings.Join(families, "|"))
	var page string
	err := until(ctx, "the lines of every pod", func(ctx context.Context) (_ bool, err error) {
		if page, err = s.gpulet(ctx, "metrics", "--match", match); err != nil {
			return false, err
		}
		for name := range s.pods {
			for _, family := range families {
				if !slices.ContainsFunc(strings.Split(page, "\n"), func(l string) bool {
					return strings.HasPrefix(l, family+"{") && strings.Contains(l, fmt.Sprintf("pod=%q", name))
				}) {
					return false, fmt.Errorf("pod %s has no %s in\n%s", name, family, page)
				}
			}
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	s.result("%d pods: %s", len(s.pods), strings.Join(slices.Sorted(maps.Keys(s.pods)), ", "))
	s.detail("%s", page)
	return nil
}
