package posetest

import (
	"os"
	"strings"
	"testing"
)

// BenchmarkInfer has one sub-benchmark a cell that loads: the session's run alone. It is timed inside a fresh worker,
// warmed up; nothing of this process is in ns/op or any other metric. [Sample.Metrics] says what they are.
func (s *Suite) BenchmarkInfer(b *testing.B) { s.benchmark(b, KindInfer) }

// BenchmarkLoad has one sub-benchmark a cell that loads: the session's creation alone, each in a fresh worker.
func (s *Suite) BenchmarkLoad(b *testing.B) { s.benchmark(b, KindLoad) }

// BenchmarkPipeline has one sub-benchmark a cell that loads: from a photograph's pixels to persons.
func (s *Suite) BenchmarkPipeline(b *testing.B) { s.benchmark(b, KindPipeline) }

func (s *Suite) benchmark(b *testing.B, kind Kind) {
	plan, err := s.Plan(b.Context(), os.Stderr)
	if err != nil {
		b.Fatal(err)
	}
	for _, m := range plan.Missing {
		for _, c := range m.Cells {
			b.Run(c.String(), func(b *testing.B) {
				if s.cfg.Requires(m.ID) {
					b.Fatalf("%v (POSETEST_REQUIRE allows no skip of %s)", m.Err, m.ID)
				}
				b.Skip(m.Err)
			})
		}
	}
	all, _, err := s.Benchmarks(plan, Vary{Kinds: []Kind{kind}})
	if err != nil {
		b.Fatal(err)
	}
	for _, bench := range all {
		b.Run(strings.TrimPrefix(bench.String(), string(kind)+"/"), func(b *testing.B) {
			b.StopTimer()
			sample, err := s.sample(b.Context(), bench, Benchtime{Runs: b.N}, b)
			if err != nil {
				b.Fatal(err)
			}
			for _, m := range sample.Metrics() {
				b.ReportMetric(m.Value, m.Unit)
			}
		})
	}
}
