package process

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gpulet/gpulet/test/gpusim/model"
	"github.com/gpulet/gpulet/test/gpusim/shapes"
)

// layouts are how the first GPU of each model is divided, where its driver knows MIG for it.
func layouts() map[string][]string {
	return map[string][]string{
		"a100-80":    {"1g.10gb", "1g.10gb", "1g.10gb", "1g.10gb", "1g.10gb", "1g.10gb", "1g.10gb"},
		"h100":       {"3g.40gb", "2g.20gb", "1g.10gb", "1g.10gb"},
		"h200":       {"4g.71gb", "3g.71gb"},
		"b200":       {"2g.45gb", "2g.45gb", "2g.45gb"},
		"rtxpro6000": {"2g.48gb", "1g.24gb", "1g.24gb+me"},
	}
}

// divided is a shape in which the first GPU of each model that can be divided is.
func divided(t *testing.T, name string) model.Shape {
	t.Helper()
	s, err := shapes.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	var out []model.GPUShape
	done := map[string]bool{}
	for _, g := range s.GPUs {
		if layout := layouts()[g.Model]; layout != nil && !done[g.Model] {
			done[g.Model] = true
			first := g
			first.Count, first.MIG, first.Instances = 0, true, instances(layout...)
			out = append(out, first)
			if g.Count--; g.Count < 1 {
				continue
			}
		}
		out = append(out, g)
	}
	s.GPUs = out
	return s
}

func instances(profiles ...string) (out []model.InstanceShape) {
	for _, p := range profiles {
		out = append(out, model.InstanceShape{Profile: p})
	}
	return out
}

// piece is one thing that the driver has to give: a GPU or an instance of it.
type piece struct {
	resource, id string
	gpu          int
	nodes        []string // its device nodes: "/dev/nvidia0 195:0"
}

// pieces are all that the driver shows, as the hardware is told to be and not as the product sees it.
func (n *node) pieces() (out []piece) {
	n.t.Helper()
	minors, err := os.ReadFile(filepath.Join(n.sim.Root("proc"), "driver/nvidia-caps/mig-minors"))
	if err != nil {
		n.t.Fatal(err)
	}
	for _, g := range n.sim.Model.Status().GPUs {
		if g.Index < 0 { // this driver does not know it
			continue
		}
		own := fmt.Sprintf("/dev/nvidia%d 195:%d", g.Minor, g.Minor)
		if !g.MIG {
			out = append(out, piece{"nvidia.com/gpu", g.UUID, g.Index, []string{own}})
		}
		for _, in := range g.Instances {
			p := piece{
				"nvidia.com/mig-" + strings.ReplaceAll(in.Profile, "+", "."),
				fmt.Sprintf("%s:%s:%d", g.UUID, strings.ReplaceAll(in.Profile, "+", "_"), in.Placement.Start), g.Index,
				[]string{own},
			}
			for _, name := range []string{
				fmt.Sprintf("gpu%d/gi%d/access ", g.Minor, in.GI), fmt.Sprintf("gpu%d/gi%d/ci%d/access ", g.Minor, in.GI, in.Compute[0].CI),
			} {
				_, minor, _ := strings.Cut(string(minors), name)
				minor, _, _ = strings.Cut(minor, "\n")
				p.nodes = append(p.nodes, fmt.Sprintf("/dev/nvidia-caps/nvidia-cap%s 235:%s", minor, minor))
			}
			out = append(out, p)
		}
	}
	return out
}

// offered are the pieces as the kubelet shall have them: ids by resource.
func offered(pieces []piece) map[string][]string {
	out := map[string][]string{}
	for _, p := range pieces {
		out[p.resource] = append(out[p.resource], p.id)
	}
	for _, ids := range out {
		slices.Sort(ids)
	}
	return out
}
