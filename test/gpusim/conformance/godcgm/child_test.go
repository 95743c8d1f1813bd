package godcgm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/NVIDIA/go-dcgm/pkg/dcgm"
)

// child is what a program that uses the binding keeps.
type child struct {
	cleanup    func()
	groups     []dcgm.GroupHandle
	fields     dcgm.FieldHandle
	violations <-chan dcgm.PolicyViolation
}

func (c *child) group(i int) dcgm.GroupHandle {
	if i < 0 {
		return dcgm.GroupAllGPUs()
	}
	return c.groups[i]
}

// do makes one call of the binding.
func (c *child) do(r request, a *reply) (err error) {
	switch r.Call {
	case "embedded":
		c.cleanup, err = dcgm.Init(dcgm.Embedded)
	case "standalone":
		c.cleanup, err = dcgm.Init(dcgm.Standalone, r.Args...)
	case "cleanup":
		c.cleanup()
		c.groups = nil
	case "gpus":
		a.IDs, err = dcgm.GetSupportedDevices()
	case "entities":
		a.IDs, err = dcgm.GetEntityGroupEntities(r.Kind)
	case "hierarchy":
		var h dcgm.MigHierarchy_v2
		h, err = dcgm.GetGPUInstanceHierarchy()
		a.MIG = h.EntityList[:h.Count]
	case "group":
		var g dcgm.GroupHandle
		if g, err = dcgm.CreateGroup(fmt.Sprint("g", time.Now().UnixNano())); err != nil {
			return err
		}
		for _, e := range r.Entities {
			if err := dcgm.AddEntityToGroup(g, e.EntityGroupId, e.EntityId); err != nil {
				return err
			}
		}
		c.groups = append(c.groups, g)
	case "group-info":
		i, err := dcgm.GetGroupInfo(c.group(r.Group))
		if err != nil {
			return err
		}
		a.Number = float64(len(i.EntityList))
	case "ungroup":
		err = dcgm.DestroyGroup(c.group(r.Group))
	case "watch":
		if c.fields, err = dcgm.FieldGroupCreate(fmt.Sprint("f", time.Now().UnixNano()), r.Fields); err != nil {
			return err
		}
		err = dcgm.WatchFieldsWithGroupEx(c.fields, c.group(r.Group), r.Period.Microseconds(), 600, 0)
	case "unwatch":
		err = errors.Join(dcgm.UnwatchFields(c.fields, c.group(r.Group)), dcgm.FieldGroupDestroy(c.fields))
	case "update":
		err = dcgm.UpdateAllFields()
	case "values":
		var list []dcgm.FieldValue_v2
		list, err = dcgm.EntitiesGetLatestValues(r.Entities, r.Fields, r.Number)
		for _, v := range list {
			a.Values = append(a.Values, valueOf(v))
		}
	case "link":
		list, err := dcgm.LinkGetLatestValues(r.Number, dcgm.FE_GPU, 0, r.Fields)
		for _, v := range list {
			a.Values = append(a.Values, value{Field: v.FieldID, Status: v.Status, Int: v.Int64()})
		}
		return err
	case "since":
		var list []dcgm.FieldValue_v2
		list, a.Next, err = dcgm.GetValuesSince(c.group(r.Group), c.fields, r.Since)
		for _, v := range list {
			a.Values = append(a.Values, valueOf(v))
		}
	default:
		return c.more(r, a)
	}
	return err
}

// more makes the calls that a sampler does not need.
func (c *child) more(r request, a *reply) (err error) {
	switch r.Call {
	case "field":
		a.Meta, err = dcgm.FieldGetByID(r.Fields[0])
	case "version":
		i, err := dcgm.GetVersionInfo()
		a.Text = i.RawBuildInfoString
		return err
	case "host-version":
		i, err := dcgm.GetHostengineVersionInfo()
		a.Text = i.RawBuildInfoString
		return err
	case "device":
		a.Device, err = dcgm.GetDeviceInfo(r.Number)
	case "p2p":
		s, err := dcgm.GetNvLinkP2PStatus()
		for _, row := range s.Gpus {
			for _, state := range row {
				a.IDs = append(a.IDs, uint(state))
			}
		}
		return err
	case "metrics":
		a.Metrics, err = dcgm.GetSupportedMetricGroups(r.Number)
	case "health":
		if err := dcgm.HealthSet(c.group(r.Group), dcgm.DCGM_HEALTH_WATCH_ALL); err != nil {
			return err
		}
		a.Health, err = dcgm.HealthCheck(c.group(r.Group))
	case "policy":
		c.violations, err = dcgm.WatchPolicyViolationsForGroup(context.Background(), c.group(r.Group), dcgm.XidPolicy)
	case "violation":
		v := <-c.violations
		a.Text, a.Number = string(v.Condition), float64(v.Data.(dcgm.XidPolicyCondition).ErrNum)
		a.IDs = []uint{v.GPU}
	case "introspect":
		s, err := dcgm.Introspect()
		a.Number = float64(s.Memory)
		return err
	case "attach":
		err = dcgm.AttachDriver()
	case "detach":
		err = dcgm.DetachDriver()
	case "inject":
		err = dcgm.InjectFieldValue(r.Number, r.Fields[0], dcgm.DCGM_FT_INT64, 0, time.Now().UnixMicro(), int64(4711))
	case "memory":
		data, err := os.ReadFile("/proc/self/status")
		_, rest, _ := strings.Cut(string(data), "VmRSS:")
		_, _ = fmt.Sscan(rest, &a.Number)
		return err
	default:
		return fmt.Errorf("no call %q", r.Call)
	}
	return err
}
