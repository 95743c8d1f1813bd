package dcgm

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gpulet/gpulet/test/gpusim/model"
)

// perGPU is how many entity ids of instances each GPU has (DCGM_MAX_INSTANCES_PER_GPU).
const perGPU = 8

// entity is a GPU, an instance or a link.
type entity struct {
	group  Group
	id     uint32
	gpu    int // DCGM's number of the GPU, which is NVML's index
	gi, ci uint32
	link   uint32
	parent *entity

	uuid, gpuUUID     string
	profile           string // of an instance
	profileID, slices uint32
	lost              bool
}

// layout lists the GPUs and their instances as they are now, each behind its parent. An instance's id is its place on its GPU: after
// another layout the same id is another instance.
func layout(n *model.Node) []*entity {
	var out []*entity
	for _, g := range n.Status().GPUs {
		if g.Index < 0 {
			continue
		}
		gpu := &entity{group: GPU, id: uint32(g.Index), gpu: g.Index, gi: model.NoInstance, ci: model.NoInstance, uuid: g.UUID, gpuUUID: g.UUID, lost: g.Lost}
		out = append(out, gpu)
		gis, cis := uint32(0), uint32(0)
		for _, i := range g.Instances {
			gi := &entity{
				group: Instance, id: gpu.id*perGPU + gis, gpu: gpu.gpu, gi: i.GI, ci: model.NoInstance, parent: gpu, gpuUUID: g.UUID,
				profile: i.Profile, profileID: i.ProfileID, slices: leading(i.Profile), lost: g.Lost,
			}
			gis++
			out = append(out, gi)
			for _, c := range i.Compute {
				ci := &entity{
					group: Compute, id: gpu.id*perGPU + cis, gpu: gpu.gpu, gi: i.GI, ci: c.CI, parent: gi, gpuUUID: g.UUID,
					uuid: c.UUID, profile: c.Profile, profileID: c.ProfileID, slices: leading(c.Profile), lost: g.Lost,
				}
				cis++
				if gi.uuid == "" {
					gi.uuid = c.UUID
				}
				out = append(out, ci)
			}
		}
	}
	return out
}

// leading is the number in front of a profile's name.
func leading(profile string) uint32 {
	n, _ := strconv.ParseUint(profile[:strings.IndexAny(profile+"x", "cgx")], 10, 32)
	return uint32(n)
}

// find gives an entity of a layout. A link's id packs group, index and device; GPUs alone have links here.
func find(all []*entity, group Group, id uint32) *entity {
	if group == Link {
		e := find(all, GPU, id>>24)
		if e == nil || Group(id&0xFF) != GPU {
			return nil
		}
		l := *e
		l.group, l.id, l.link, l.parent = Link, id, id>>8&0xFFFF, e
		return &l
	}
	if i := slices.IndexFunc(all, func(e *entity) bool { return e.group == group && e.id == id }); i >= 0 {
		return all[i]
	}
	return nil
}

// owner is the entity that has the field: an instance asked for what only its GPU has is answered with that, silently.
func (e *entity) owner(f Field) *entity {
	switch {
	case e == nil:
		return nil
	case f.Level == None:
		return &entity{group: None, gi: model.NoInstance, ci: model.NoInstance}
	case f.Level == Link:
		if e.group != Link {
			return nil
		}
		return e
	}
	for e.parent != nil && (e.group == Link || e.group == Compute && f.Level != Compute || e.group == Instance && f.Level == GPU) {
		e = e.parent
	}
	return e
}

// key is what a series belongs to. It names the thing and not its number, which another may have later.
func (e *entity) key(field uint16) string {
	return fmt.Sprintf("%d/%d/%d/%d/%s/%d/%d", field, e.group, e.id, e.gpu, e.uuid, e.gi, e.link)
}
