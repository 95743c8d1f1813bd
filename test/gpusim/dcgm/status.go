package dcgm

import "github.com/gpulet/gpulet/test/gpusim/model"

// Status is dcgmReturn_t.
type Status int32

// The codes that the simulation gives.
const (
	OK                 Status = 0
	BadParam           Status = -1
	GenericError       Status = -3
	NotConfigured      Status = -5
	NotSupported       Status = -6
	NvmlError          Status = -8
	VersionMismatch    Status = -12
	UnknownField       Status = -13
	NoData             Status = -14
	StaleData          Status = -15
	NotWatched         Status = -16
	NoPermission       Status = -17
	GPUIsLost          Status = -18
	ConnectionNotValid Status = -21
	MaxLimit           Status = -24
	DuplicateKey       Status = -26
	GroupIsEmpty       Status = -35
	NvmlNotLoaded      Status = -56
	Detached           Status = -67
)

// Blank is why a value is not there: DCGM writes it as a number past the greatest that can be.
type Blank int64

// The blanks.
const (
	BlankUnknown Blank = iota
	BlankNotFound
	BlankNotSupported
	BlankNoPermission
)

const (
	blankInt    = 0x7ffffffffffffff0
	blankDouble = 140737488355328.0
)

// blank is a value of that type that is not there.
func blank(kind byte, b Blank) Value {
	text := [...]string{"<<<NULL>>>", "<<<NOT_FOUND>>>", "<<<NOT_SUPPORTED>>>", "<<<NOT_PERM>>>"}
	v := Value{Type: kind}
	switch kind {
	case Double:
		v.Float = blankDouble + float64(b)
	case String:
		v.Text = text[b]
	default:
		v.Int = blankInt + int64(b)
	}
	return v
}

// blankOf is how DCGM writes an error of NVML into a value.
func blankOf(r model.Return) Blank {
	switch r {
	case model.NotSupported, model.FunctionNotFound, model.InvalidArgument:
		return BlankNotSupported
	case model.NotFound:
		return BlankNotFound
	case model.NoPermission:
		return BlankNoPermission
	default:
		return BlankUnknown
	}
}
