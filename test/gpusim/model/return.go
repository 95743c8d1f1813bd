package model

import "strconv"

// Return is NVML's nvmlReturn_t.
type Return int32 //nolint:errname // NVML's name

// The return codes of nvml.h, with its numbers.
//
//nolint:errname // NVML's names
const (
	Success                 Return = 0
	Uninitialized           Return = 1
	InvalidArgument         Return = 2
	NotSupported            Return = 3
	NoPermission            Return = 4
	AlreadyInitialized      Return = 5
	NotFound                Return = 6
	InsufficientSize        Return = 7
	InsufficientPower       Return = 8
	DriverNotLoaded         Return = 9
	Timeout                 Return = 10
	IRQIssue                Return = 11
	LibraryNotFound         Return = 12
	FunctionNotFound        Return = 13
	CorruptedInfoROM        Return = 14
	GPUIsLost               Return = 15
	ResetRequired           Return = 16
	OperatingSystem         Return = 17
	LibRMVersionMismatch    Return = 18
	InUse                   Return = 19
	Memory                  Return = 20
	NoData                  Return = 21
	VGPUECCNotSupported     Return = 22
	InsufficientResources   Return = 23
	FreqNotSupported        Return = 24
	ArgumentVersionMismatch Return = 25
	Deprecated              Return = 26
	NotReady                Return = 27
	GPUNotFound             Return = 28
	InvalidState            Return = 29
	ResetTypeNotSupported   Return = 30
	Unknown                 Return = 999
)

// String is the text of nvmlErrorString.
func (r Return) String() string {
	switch r {
	case Success:
		return "Success"
	case Uninitialized:
		return "Uninitialized"
	case InvalidArgument:
		return "Invalid Argument"
	case NotSupported:
		return "Not Supported"
	case NoPermission:
		return "Insufficient Permissions"
	case AlreadyInitialized:
		return "Already Initialized"
	case NotFound:
		return "Not Found"
	case InsufficientSize:
		return "Insufficient Size"
	case InsufficientPower:
		return "Insufficient External Power"
	case DriverNotLoaded:
		return "Driver Not Loaded"
	case Timeout:
		return "Timeout"
	case IRQIssue:
		return "Interrupt Request Issue"
	case LibraryNotFound:
		return "NVML Shared Library Not Found"
	case FunctionNotFound:
		return "Function Not Found"
	case CorruptedInfoROM:
		return "Corrupted infoROM"
	case GPUIsLost:
		return "GPU is lost"
	case ResetRequired:
		return "GPU requires reset"
	case OperatingSystem:
		return "GPU access blocked by the operating system"
	case LibRMVersionMismatch:
		return "Driver/library version mismatch"
	case InUse:
		return "In use by another client"
	case Memory:
		return "Insufficient Memory"
	case NoData:
		return "No data"
	case VGPUECCNotSupported:
		return "The requested vgpu operation is not available on target device, because ECC is enabled"
	case InsufficientResources:
		return "Insufficient Resources"
	case FreqNotSupported:
		return "The requested frequency is not supported"
	case ArgumentVersionMismatch:
		return "Argument version mismatch"
	case Deprecated:
		return "Deprecated"
	case NotReady:
		return "The system is not ready for the request"
	case GPUNotFound:
		return "No GPUs were found"
	case InvalidState:
		return "Resource not in correct state"
	case ResetTypeNotSupported:
		return "Reset not supported for given device/parameters"
	case Unknown:
		return "Unknown Error"
	}
	return "Unknown Error " + strconv.Itoa(int(r))
}

// Error makes a Return that is not Success usable as an error.
func (r Return) Error() string { return r.String() }
