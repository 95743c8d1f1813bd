package gpu

import "time"

// Field names a measurement by NVIDIA's number for it in DCGM (DCGM_FI_*). Values are in the units that DCGM up to 4.6 stores:
// MHz, MiB, mJ, W, C, ns, percent or a ratio of 0 to 1, as the table of package exporter/family says for each.
type Field uint16

// Entity is what a measurement is of: a GPU, or one of its GPU instances.
type Entity struct {
	GPU UUID
	// Instance is the GPU instance's id, NoInstance for the GPU as a whole.
	Instance uint32
}

// Whole is the entity of a whole GPU.
func (u UUID) Whole() Entity { return Entity{GPU: u, Instance: NoInstance} }

// Reading is one measurement, or the reason why there is none. The driver's blank values never get this far.
type Reading struct {
	Entity Entity
	Field  Field
	Value  float64
	// Text is the value of a field that is a text, such as a serial number.
	Text string
	// At is when the value was true, as far as its source tells; otherwise when it was read.
	At time.Time
	// Absent says why there is no value; nil when there is one.
	Absent *Absence
}

// Absence is why a measurement is not there.
type Absence struct {
	Code AbsenceCode
	// Text is one sentence for people.
	Text string
}

// AbsenceCode is the value of the label `reason`: few and fixed.
type AbsenceCode string

// The reasons.
const (
	NotSupported AbsenceCode = "not_supported"  // this GPU, or this mode of it, does not have it
	NoFunction   AbsenceCode = "no_function"    // this driver or library does not have it
	NoPermission AbsenceCode = "no_permission"  // the agent may not read it
	NoData       AbsenceCode = "no_data"        // nothing was measured yet
	NoSource     AbsenceCode = "no_source"      // only DCGM has it, and DCGM is not there
	Stale        AbsenceCode = "stale"          // the last value is too old
	Lost         AbsenceCode = "lost"           // the GPU or the driver is out of reach
	NoAnswer     AbsenceCode = "no_answer"      // the call does not return
	Failed       AbsenceCode = "failed"         // any other error; Text tells
	Unattributed AbsenceCode = "not_attributed" // it cannot be told apart by pod
)

// Ask says what to read of a GPU in one go.
type Ask struct {
	// Whole are the fields of the GPU as a whole.
	Whole []Field
	// Instance are the fields of each of Instances; with no Instances they are not read.
	Instance  []Field
	Instances []InstanceRef
}

// InstanceRef names a GPU instance and the MIG device of its first compute instance, empty while it has none.
type InstanceRef struct {
	ID  uint32
	MIG UUID
}

// ProcessUse is what one process did on a GPU since the last time that it was asked for.
type ProcessUse struct {
	Holder
	// Measured: SM and Memory are known. They are the mean part (0 to 1) of the time in which the process's kernels ran, or used memory's bandwidth.
	Measured   bool
	SM, Memory float64
	// MPS: it is a client of an MPS server, whose own use is not told apart.
	MPS bool
}

// Telemetry reads measurements of one GPU of a session. One call at a time: they are made in the telemetry lane.
type Telemetry interface {
	// Read answers each field of ask for each of its entities once, in any order, with a value or an Absence; fields that it
	// never gives (XIDs, what only DCGM knows) it leaves out. An error means that the GPU as a whole does not answer.
	Read(ask Ask) ([]Reading, error)
	// Use lists the processes of the GPU and of its instances. Outside MIG mode it tells what each did since the last call;
	// in MIG mode the driver does not measure that.
	Use() ([]ProcessUse, error)
	// Release gives back what holds the GPU (GPM samples); the next Read takes it anew.
	Release() error
}
