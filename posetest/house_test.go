package posetest_test

import (
	"flag"
	"testing"

	"github.com/posetest/suite/posetest"
)

// suite is the repository's own: its models, photographs and support table. No test looks at how long a run took, so that one is timed.
var suite = posetest.New(posetest.Config{Runs: 1})

func TestMain(m *testing.M) { posetest.Main(m) }

func TestLoad(t *testing.T) { suite.TestLoad(t) }

func TestInfer(t *testing.T) { suite.TestInfer(t) }

var update = flag.Bool("update", false, "write the goldens of TestKeypoints instead of comparing with them")

func TestKeypoints(t *testing.T) { suite.TestKeypoints(t, *update) }

func TestDrift(t *testing.T) { suite.TestDrift(t) }

func TestCOCO(t *testing.T) { suite.TestCOCO(t) }

func TestAvailable(t *testing.T) { suite.TestAvailable(t) }

// The support table is right for every machine, whatever this one can run: each cell of each platform and processor
// class has one row, and each row is for a cell. What is in quarantine is so for so many days more.
func TestTable(t *testing.T) {
	if err := posetest.CheckTable(posetest.Config{}); err != nil {
		t.Error(err)
	}
	quarantines, err := posetest.Quarantines(posetest.Config{})
	if err != nil {
		t.Error(err)
	}
	for _, q := range quarantines {
		t.Log(q)
	}
}
