package dcgm

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/gpulet/gpulet/gpu"
)

// value is one value as DCGM gives it. Kind is that of dcgm_fields.h: 'i', 'd', 's', 't' or another.
type value struct {
	of     pair
	field  gpu.Field
	status int
	at     int64 // µs since 1970, 0 when DCGM does not tell
	kind   byte
	i      int64
	d      float64
	s      string
}

// Sentinels of dcgm_structs.h; the numbers that follow each say why there is no value.
const (
	blank32   = 0x7ffffff0
	blank64   = 0x7ffffffffffffff0
	blankReal = float64(1 << 47)
)

// reading is a value of an entity for gpulet. Numbers that stand for no value become absences, whatever the status says.
func (v value) reading(of gpu.Entity, now time.Time) gpu.Reading {
	r := gpu.Reading{Entity: of, Field: v.field, At: now}
	if r.Absent = v.absence(); r.Absent != nil {
		return r
	}
	switch v.kind {
	case 'd':
		r.Value = v.d
	case 's':
		r.Text = v.s
	default:
		r.Value = float64(v.i)
	}
	// A value of the last event stays true, and an engine's clock may be ahead.
	if at := time.UnixMicro(v.at); v.at > 0 && at.Before(now) && !eventful(v.field) {
		r.At = at
	}
	return r
}

func (v value) absence() *gpu.Absence {
	if v.status != 0 {
		return statusAbsence(v.status)
	}
	switch v.kind {
	case 'i', 't':
		switch {
		case v.i >= blank64:
			return blankAbsence(v.i - blank64)
		case v.i >= blank32 && v.i <= math.MaxInt32: // above are numbers again: a counter may get there
			return blankAbsence(v.i - blank32)
		}
	case 'd':
		switch {
		case math.IsNaN(v.d) || math.IsInf(v.d, 0):
			return &gpu.Absence{Code: gpu.Failed, Text: "DCGM gives no number"}
		case v.d >= blankReal:
			return blankAbsence(int64(min(v.d-blankReal, 15)))
		}
	case 's':
		switch {
		case strings.HasPrefix(v.s, "<<<NOT_FOUND"):
			return blankAbsence(1)
		case strings.HasPrefix(v.s, "<<<NOT_SUPP"):
			return blankAbsence(2)
		case strings.HasPrefix(v.s, "<<<NOT_PERM"):
			return blankAbsence(3)
		case v.s == "" || strings.HasPrefix(v.s, "<<<"):
			return blankAbsence(0)
		}
	default:
		return &gpu.Absence{Code: gpu.NotSupported, Text: fmt.Sprintf("DCGM gives no number or text but type %q", v.kind)}
	}
	return nil
}

// blankAbsence explains a sentinel by its distance from the first.
func blankAbsence(n int64) *gpu.Absence {
	switch n {
	case 1:
		return &gpu.Absence{Code: gpu.NoData, Text: "DCGM did not find it"}
	case 2:
		return &gpu.Absence{Code: gpu.NotSupported, Text: "DCGM says that this device does not have it"}
	case 3:
		return &gpu.Absence{Code: gpu.NoPermission, Text: "DCGM may not read it"}
	}
	return &gpu.Absence{Code: gpu.NoData, Text: "DCGM has no value yet"}
}

// Codes of dcgmReturn_t that decide something.
const (
	statusNotSupported   = -6
	statusUninitialized  = -10
	statusNotWatched     = -16
	statusGPULost        = -18
	statusConnectionLost = -21
	statusNoNVML         = -56
	statusDetached       = -67
)

// lostEngine: nothing works with this connection any more. An engine whose driver was unloaded does not find the next one by itself.
func lostEngine(status int) bool {
	switch status {
	case statusConnectionLost, statusUninitialized, statusNoNVML, statusDetached:
		return true
	}
	return false
}

// statusAbsence explains a dcgmReturn_t other than OK.
func statusAbsence(status int) *gpu.Absence {
	for _, s := range statuses() {
		if s.status == status {
			return &gpu.Absence{Code: s.code, Text: s.text}
		}
	}
	return &gpu.Absence{Code: gpu.Failed, Text: fmt.Sprintf("DCGM failed with status %d", status)}
}

type statusText struct {
	status int
	code   gpu.AbsenceCode
	text   string
}

func statuses() []statusText {
	return []statusText{
		{statusNotSupported, gpu.NotSupported, "DCGM does not support it here"},
		{-8, gpu.Failed, "DCGM got an error of NVML"},
		{statusUninitialized, gpu.NoSource, "DCGM's engine was not started"},
		{-11, gpu.NoAnswer, "DCGM's engine did not answer in time"},
		{-12, gpu.NoFunction, "the versions of libdcgm and of the host engine do not fit"},
		{-13, gpu.NoFunction, "this DCGM does not know the field"},
		{-14, gpu.NoData, "DCGM has no value yet"},
		{-15, gpu.Stale, "DCGM's value is too old"},
		{statusNotWatched, gpu.NoData, "DCGM does not watch it"},
		{-17, gpu.NoPermission, "DCGM may not read it"},
		{statusGPULost, gpu.Lost, "the GPU is lost, DCGM says"},
		{-19, gpu.Lost, "the GPU needs a reset, DCGM says"},
		{-20, gpu.NoFunction, "DCGM lacks the function"},
		{statusConnectionLost, gpu.NoSource, "the connection to DCGM's engine is lost"},
		{-22, gpu.NotSupported, "DCGM does not support this GPU"},
		{-24, gpu.Failed, "a limit of DCGM is reached"},
		{-25, gpu.NoFunction, "DCGM lacks a library"},
		{-29, gpu.NoPermission, "DCGM's engine does not run as root"},
		{-32, gpu.NotSupported, "DCGM does not give the field this way"},
		{-33, gpu.NoFunction, "the module of DCGM for it is not loaded"},
		{-36, gpu.NotSupported, "DCGM cannot profile this GPU"},
		{-37, gpu.Failed, "DCGM's profiling library failed"},
		{-38, gpu.Failed, "DCGM cannot measure it together with the other profiling fields"},
		{-44, gpu.NoFunction, "the driver is too old for it, DCGM says"},
		{-45, gpu.NoData, "DCGM does not know the GPU instance"},
		{-46, gpu.NoData, "DCGM does not know the compute instance"},
		{-54, gpu.NoData, "DCGM is paused"},
		{statusNoNVML, gpu.Lost, "DCGM could not load NVML"},
		{-57, gpu.NoAnswer, "the driver does not answer DCGM"},
		{statusDetached, gpu.NoData, "DCGM gave the GPUs up (detached)"},
	}
}
