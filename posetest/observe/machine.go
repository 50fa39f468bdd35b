package observe

import (
	"runtime"

	"github.com/klauspost/cpuid/v2"
)

// ISA classes: what INT8 results depend on. ONNX Runtime's kernels sum u8×s8 products in 16 bits where the CPU has no
// VNNI, and those saturate; see "Quantize ONNX models", section "When and why do I need to try U8U8?", of its
// documentation.
const (
	VNNI  = "vnni"  // x86-64 with AVX-512 VNNI or AVX-VNNI
	AVX2  = "avx2"  // x86-64 without VNNI
	SSE   = "sse"   // x86-64 without AVX2
	ARM64 = "arm64" // any arm64
)

// ISAs are all classes.
func ISAs() []string { return []string{VNNI, AVX2, SSE, ARM64} }

// ThisMachine describes the machine of this process.
func ThisMachine() Machine {
	return Machine{OS: runtime.GOOS, Arch: runtime.GOARCH, CPU: cpuid.CPU.BrandName, ISA: isa(), Core: runtime.NumCPU()}
}

func isa() string {
	switch {
	case runtime.GOARCH == "arm64":
		return ARM64
	case cpuid.CPU.Supports(cpuid.AVX512VNNI) || cpuid.CPU.Supports(cpuid.AVXVNNI):
		return VNNI
	case cpuid.CPU.Supports(cpuid.AVX2):
		return AVX2
	case runtime.GOARCH == "amd64":
		return SSE
	}
	return runtime.GOARCH
}
