package dcgm

import (
	"fmt"
	"time"

	"github.com/NVIDIA/go-dcgm/pkg/dcgm"

	"github.com/gpulet/gpulet/gpu"
)

// pair is an entity in DCGM's numbers.
type pair struct {
	group dcgm.Field_Entity_Group // FE_GPU or FE_GPU_I
	id    uint
}

// instance is a GPU instance: DCGM's entity id, its GPU, and NVML's id of it.
type instance struct {
	id, gpu, nvml uint
	uuid          gpu.UUID // of the GPU, empty when DCGM does not tell
	profile       uint     // another one with the same ids is another instance
}

// library is what the engine needs of libdcgm, so that its rules can be tried without one. Its errors are a
// trouble, a statusError, or text where go-dcgm keeps the status to itself.
type library interface {
	// open loads libdcgm and starts an engine, or connects to the one at host.
	open(at place, host string) error
	close()
	// versions are "" when they are not known. The error is the engine's.
	versions() (library, engine string, err error)
	known(gpu.Field) bool
	gpus() ([]uint, error)
	instances() ([]instance, error)
	// profiled are the profiling fields that can be measured of a GPU.
	profiled(id uint) (map[gpu.Field]bool, error)
	// group leaves out entities that DCGM refuses, and tells whether there are any: they cost themselves.
	group(name string, of []pair) (g dcgm.GroupHandle, partial bool, err error)
	dropGroup(dcgm.GroupHandle)
	watch(name string, of dcgm.GroupHandle, fields []gpu.Field, every time.Duration) (dcgm.FieldHandle, error)
	unwatch(dcgm.FieldHandle, dcgm.GroupHandle)
	// values has no more than maxValues of them; live asks the driver and not the watches.
	values(of []pair, fields []gpu.Field, live bool) ([]value, error)
	detach() error
	attach() error
}

// place is where libraries are.
type place struct {
	// Library is libdcgm's path, NVML that of NVIDIA's library for an engine; empty: as the loader finds it, then below Root.
	Library string `json:"library,omitempty"`
	NVML    string `json:"nvml,omitempty"`
	Root    string `json:"root,omitempty"`
}

// Limits of one call: go-dcgm keeps its buffer of 4 KiB a value up to maxValues, and DCGM takes maxFields.
const (
	maxValues = 256
	maxFields = 128
)

// statusError is a dcgmReturn_t other than OK.
type statusError struct{ status int }

func (e statusError) Error() string { return statusAbsence(e.status).Text }

// trouble is an error with the reason that people and labels get.
type trouble struct{ gpu.Absence }

func (t trouble) Error() string { return t.Text }

func troublef(code gpu.AbsenceCode, format string, args ...any) error {
	return trouble{gpu.Absence{Code: code, Text: fmt.Sprintf(format, args...)}}
}
