package dcgm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/NVIDIA/go-dcgm/pkg/dcgm"

	"github.com/gpulet/gpulet/gpu"
)

// libdcgm is the library through go-dcgm, which has one connection for the whole process.
type libdcgm struct {
	loaded
	cleanup func()
}

func (l *libdcgm) open(at place, host string) (err error) {
	if l.handle == nil {
		if host == "" {
			preloadNVML(at)
		}
		if l.loaded, err = load(at); err != nil {
			l.handle = nil
			return err
		}
	}
	l.close()
	if host == "" {
		if err := l.want("dcgmStartEmbedded", "dcgmStopEmbedded"); err != nil {
			return err
		}
		if l.cleanup, err = dcgm.Init(dcgm.Embedded); err != nil {
			return troublef(gpu.NoSource, "DCGM does not start: %v", err)
		}
		return nil
	}
	connect, args := "dcgmConnect_v2", hostArgs(host, l.has("dcgmConnect_v3"))
	if len(args) == 1 {
		connect = "dcgmConnect_v3"
	}
	if err := l.want(connect, "dcgmDisconnect"); err != nil {
		return err
	}
	if l.cleanup, err = dcgm.Init(dcgm.Standalone, args...); err != nil {
		return troublef(gpu.NoSource, "the host engine at %s: %v", host, err)
	}
	return nil
}

// hostArgs are go-dcgm's for a host engine: one address, or for libraries before 4.5 the address and "1" for a Unix socket.
func hostArgs(host string, addresses bool) []string {
	scheme, rest, ok := strings.Cut(host, "://")
	switch {
	case ok && (addresses || scheme == "vsock"):
		return []string{host}
	case scheme == "unix":
		return []string{rest, "1"}
	case ok:
		return []string{rest, "0"}
	case strings.HasPrefix(host, "/"):
		return []string{host, "1"}
	}
	return []string{host, "0"}
}

// want explains a function that is missing.
func (l *libdcgm) want(functions ...string) error {
	for _, f := range functions {
		if !l.has(f) {
			version, _, _ := l.versions()
			return troublef(gpu.NoFunction, "%s lacks %s", named(version), f)
		}
	}
	return nil
}

func (l *libdcgm) close() {
	if l.cleanup != nil {
		l.cleanup()
		l.cleanup = nil
	}
}

func (l *libdcgm) versions() (library, engine string, err error) {
	if l.has("dcgmVersionInfo") {
		if v, err := dcgm.GetVersionInfo(); err == nil {
			library = buildVersion(v.RawBuildInfoString)
		}
	}
	if l.cleanup != nil && l.has("dcgmHostengineVersionInfo") {
		v, err := dcgm.GetHostengineVersionInfo()
		if err != nil {
			return library, "", status(err)
		}
		engine = buildVersion(v.RawBuildInfoString)
	}
	return library, engine, nil
}

// buildVersion takes the version out of "version:4.5.2;arch:x86_64;...".
func buildVersion(raw string) string {
	for kv := range strings.SplitSeq(raw, ";") {
		if k, v, _ := strings.Cut(kv, ":"); strings.TrimSpace(k) == "version" {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func (l *libdcgm) known(f gpu.Field) bool {
	_, err := dcgm.FieldGetByID(dcgm.Short(f))
	return err == nil
}

func (l *libdcgm) gpus() ([]uint, error) {
	ids, err := dcgm.GetEntityGroupEntities(dcgm.FE_GPU)
	return ids, status(err)
}

func (l *libdcgm) instances() ([]instance, error) {
	if !l.has("dcgmGetGpuInstanceHierarchy") {
		return nil, nil
	}
	h, err := dcgm.GetGPUInstanceHierarchy()
	if err != nil {
		return nil, status(err)
	}
	var out []instance
	for _, e := range h.EntityList[:h.Count] {
		if e.Entity.EntityGroupId == dcgm.FE_GPU_I && e.Parent.EntityGroupId == dcgm.FE_GPU {
			out = append(out, instance{id: e.Entity.EntityId, gpu: e.Parent.EntityId, nvml: e.Info.NvmlInstanceId, uuid: gpu.UUID(e.Info.GpuUuid), profile: e.Info.NvmlMigProfileId})
		}
	}
	return out, nil
}

func (l *libdcgm) profiled(id uint) (map[gpu.Field]bool, error) {
	if !l.has("dcgmProfGetSupportedMetricGroups") {
		return nil, statusError{-20}
	}
	groups, err := dcgm.GetSupportedMetricGroups(id)
	if err != nil {
		return nil, status(err)
	}
	out := map[gpu.Field]bool{}
	for _, g := range groups {
		for _, f := range g.FieldIds {
			out[gpu.Field(f)] = true
		}
	}
	return out, nil
}

func (l *libdcgm) group(name string, of []pair) (g dcgm.GroupHandle, partial bool, err error) {
	if g, err = dcgm.CreateGroup(name); err != nil {
		return g, false, err
	}
	var refused error
	left := len(of)
	for _, p := range of {
		if err := dcgm.AddEntityToGroup(g, p.group, p.id); err != nil {
			refused = err
			left--
		}
	}
	if left == 0 && refused != nil {
		l.dropGroup(g)
		return g, false, refused
	}
	return g, refused != nil, nil
}

func (l *libdcgm) dropGroup(g dcgm.GroupHandle) { _ = dcgm.DestroyGroup(g) }

// watch keeps two samples: the latest is read, and a limit of one may be empty while it is replaced.
func (l *libdcgm) watch(name string, of dcgm.GroupHandle, fields []gpu.Field, every time.Duration) (dcgm.FieldHandle, error) {
	fg, err := dcgm.FieldGroupCreate(name, shorts(fields))
	if err != nil {
		return fg, err
	}
	if err := dcgm.WatchFieldsWithGroupEx(fg, of, every.Microseconds(), 3*every.Seconds(), 2); err != nil {
		l.unwatch(fg, of) // it may be watched already, and the first measurement have failed
		return fg, err
	}
	return fg, nil
}

func (l *libdcgm) unwatch(fg dcgm.FieldHandle, of dcgm.GroupHandle) {
	_ = dcgm.UnwatchFields(fg, of)
	_ = dcgm.FieldGroupDestroy(fg)
}

func (l *libdcgm) values(of []pair, fields []gpu.Field, live bool) ([]value, error) {
	pairs := make([]dcgm.GroupEntityPair, len(of))
	for i, p := range of {
		pairs[i] = dcgm.GroupEntityPair{EntityGroupId: p.group, EntityId: p.id}
	}
	var flags uint
	if live {
		flags = 1 // DCGM_FV_FLAG_LIVE_DATA
	}
	got, err := dcgm.EntitiesGetLatestValues(pairs, shorts(fields), flags)
	if err != nil {
		return nil, status(err)
	}
	out := make([]value, len(got))
	for i := range got {
		g := &got[i]
		bits := binary.NativeEndian.Uint64(g.Value[:8])
		v := value{
			of: pair{g.EntityGroupId, g.EntityID}, field: gpu.Field(g.FieldID), status: g.Status, at: g.TS, kind: byte(g.FieldType),
			i: int64(bits), d: math.Float64frombits(bits),
		}
		if g.StringValue != nil {
			v.s = *g.StringValue
		}
		out[i] = v
	}
	return out, nil
}

func (l *libdcgm) detach() error {
	if err := l.want("dcgmDetachDriver"); err != nil {
		return err
	}
	return status(dcgm.DetachDriver())
}

func (l *libdcgm) attach() error {
	if err := l.want("dcgmAttachDriver"); err != nil {
		return err
	}
	return status(dcgm.AttachDriver())
}

func shorts(fields []gpu.Field) []dcgm.Short {
	out := make([]dcgm.Short, len(fields))
	for i, f := range fields {
		out[i] = dcgm.Short(f)
	}
	return out
}

// status turns go-dcgm's errors into ours; those that carry no code stay what they are.
func status(err error) error {
	var e *dcgm.Error
	if errors.As(err, &e) {
		return statusError{int(e.Code)}
	}
	switch {
	case err == nil:
		return nil
	case strings.Contains(err.Error(), "NVML") && strings.Contains(err.Error(), "loaded"): // go-dcgm keeps the code of some calls to itself
		return statusError{statusNoNVML}
	}
	return fmt.Errorf("DCGM: %w", err)
}
