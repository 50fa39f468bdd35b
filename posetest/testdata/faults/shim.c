// A libonnxruntime that is the real one, except that it commits a fault inside a call of its own. Which fault, and where,
// is the name of the model's file: c07-sigsegv-in-load.onnx. TestFaults builds it:
//
//	cc -shared -fPIC -DREAL='"/…/libonnxruntime.so.1.23.2"' -DNOTES='"/…"' -o libonnxruntime.so shim.c
//
// Other definitions make other broken libraries of it: see the end.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "onnxruntime_c_api.h"

#ifndef FLOOD
#define FLOOD (64L << 20)  // bytes
#endif

static OrtApi api;          // the real one's functions, and ours among them
static const OrtApi* real;  // its own
static char fault[256];     // "sigsegv-in-load"
static int runs;            // so far

// is tells whether the model's name asks for this fault at this place, and what is the fault without the place.
static int is(const char* what, const char* where) {
  size_t n = strlen(what);
  return strncmp(fault, what, n) == 0 && strcmp(fault + n, where) == 0;
}

// note leaves a number where the test finds it, since the worker's own folder does not last.
static void note(const char* name, long number) {
  char path[4096];
  snprintf(path, sizeof path, NOTES "/%s", name);
  FILE* f = fopen(path, "w");
  if (f == NULL) abort();
  fprintf(f, "%ld\n", number);
  fclose(f);
}

static void put(int fd, const char* text, size_t size) {
  while (size > 0) {
    ssize_t n = write(fd, text, size);
    if (n <= 0) return;
    text += n;
    size -= n;
  }
}

static void say(int fd, const char* text) { put(fd, text, strlen(text)); }

// flood writes lines of many lengths.
static void flood(int fd, long bytes) {
  static char line[1 << 16];
  memset(line, 'x', sizeof line);
  size_t length = 64;
  for (long done = 0; done < bytes; done += length) {
    length = length < sizeof line ? length * 4 : 64;
    line[length - 1] = '\n';
    put(fd, line, length);
    line[length - 1] = 'x';
  }
}

// endless writes more than any line may have.
static void endless(int fd) {
  static char part[1 << 16];
  memset(part, '0', sizeof part);
  for (int i = 0; i < 160; i++) put(fd, part, sizeof part);
}

static volatile int zero;

static int __attribute__((noinline)) overflow(volatile char* above) {
  volatile char frame[4096];
  frame[0] = above[0];
  return overflow(frame) + frame[zero];
}

static void hang(void) {
  for (;;) pause();
}

static void grow(void) {
  for (long step = 64L << 20;;) {
    char* p = mmap(NULL, step, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) hang();
    madvise(p, step, MADV_HUGEPAGE);
    memset(p, 1, step);
  }
}

// leave forks a process that goes on for two minutes; apart is out of the worker's group and session.
static void leave(const char* name, int apart) {
  pid_t child = fork();
  if (child < 0) abort();
  if (child > 0) {
    if (apart) {
      waitpid(child, NULL, 0);
    } else {
      note(name, child);
    }
    return;
  }
  if (apart) {
    setsid();
    child = fork();
    if (child > 0) note(name, child);
    if (child != 0) _exit(0);
  }
  for (int s = 1; s < 32; s++) signal(s, SIG_DFL);  // Go's handlers know nothing of this process
  signal(SIGPIPE, SIG_IGN);
  alarm(120);
  hang();
}

static void* uncaught(void* unused) {
  say(2, "terminate called after throwing an instance of 'std::runtime_error'\n  what():  the device is lost\n");
  abort();
}

static void skip_it(int s) {}

// litter leaves what is hard to clear away: deep, read-only, and links that lead out of the folder.
static void litter(const char* dir) {
  char path[4096];
  if (dir == NULL || chdir(dir) != 0) abort();
  for (int i = 0; i < 100; i++) {
    snprintf(path, sizeof path, "left-%d", i);
    close(open(path, O_CREAT | O_WRONLY, 0));
  }
  if (symlink(NOTES, "out") != 0 || symlink("loop", "loop") != 0 || mkfifo("pipe", 0) != 0) abort();
  for (int i = 0; i < 20; i++) {
    if (mkdir("deep", 0700) != 0 || chdir("deep") != 0) abort();
  }
  close(open("file", O_CREAT | O_WRONLY, 0));
  chmod(".", 0500);
  chmod("..", 0);
}

// secrets tells which variables that a worker has no need of are here.
static void secrets(void) {
  extern char** environ;
  char line[4096];
  int all = 0;
  for (char** v = environ; *v != NULL; v++, all++) {
    if (strstr(*v, "SECRET") != NULL) {
      snprintf(line, sizeof line, "a secret: %s\n", *v);
      say(2, line);
    }
  }
  snprintf(line, sizeof line, "that was all of %s\n", all > 0 ? "the environment" : "nothing");
  say(2, line);
  abort();
}

// message is one that nobody should print as it is: long, with terminal escapes, lines, and bytes that are no text.
static const char* message(void) {
  static char text[1 << 20];
  memset(text, 'a', sizeof text - 1);
  const char head[] = "\x1b[2J\x1b]0;owned\x07 several\nlines\r and \xff\xfe no text ";
  memcpy(text, head, sizeof head - 1);
  return text;
}

// commit commits the fault that is asked for at this place; what it returns, if anything, is the call's own failure.
static OrtStatus* commit(const char* where) {
  if (is("sigsegv", where)) *(volatile int*)0 = 1;
  if (is("sigabrt", where)) abort();
  if (is("sigkill", where)) kill(getpid(), SIGKILL);
  if (is("exit", where)) exit(3);
  if (is("quiet-exit", where)) _exit(0);
  if (is("overflow", where)) overflow((volatile char*)"");
  if (is("hang", where)) hang();
  if (is("spin", where)) for (;;) zero++;
  if (is("errflood", where)) flood(2, FLOOD);
  if (is("outflood", where)) flood(1, FLOOD);
  if (is("memory", where)) grow();
  if (is("child", where)) leave("child", 0);
  if (is("daemon", where)) leave("daemon", 1);
  if (is("orphan", where)) {
    leave("orphan", 0);
    abort();
  }
  if (is("ignore", where)) {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    for (int s = 1; s < 32; s++) signal(s, SIG_IGN);
    hang();
  }
  if (is("swallow", where)) {  // the fault comes again and again
    signal(SIGSEGV, skip_it);
    *(volatile int*)0 = 1;
  }
  if (is("default", where)) {
    signal(SIGSEGV, SIG_DFL);
    *(volatile int*)0 = 1;
  }
  if (is("closed-in", where)) close(0);
  if (is("closed-err", where)) close(2);
  if (is("closed-replies", where)) close(3);
  if (is("garbage", where)) say(3, "loaded fine, trust me\n");
  if (is("partial", where)) say(3, "{\"took_ns\":1");
  if (is("partial-death", where)) {
    say(3, "{\"took_ns\":1");
    abort();
  }
  if (is("empty-reply", where)) say(3, "{}\n");
  if (is("null-reply", where)) say(3, "null\n");
  if (is("forged-reply", where)) say(3, "{\"took_ns\":1}\n");
  if (is("endless-line", where)) endless(3);
  if (is("thread", where)) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, uncaught, NULL) != 0) hang();
    pthread_join(thread, NULL);
  }
  if (is("litter", where)) {
    char* here = getcwd(NULL, 0);
    litter(getenv("TMPDIR"));
    if (chdir(here) != 0) return real->CreateStatus(ORT_FAIL, "the working directory is gone");
  }
  if (is("secrets", where)) secrets();
  if (is("refusal", where)) return real->CreateStatus(ORT_FAIL, "the device is lost");
  if (is("ugly-refusal", where)) return real->CreateStatus(ORT_FAIL, message());
  return NULL;
}

static OrtStatus* create_session(const OrtEnv* env, const ORTCHAR_T* path, const OrtSessionOptions* options, OrtSession** out) {
  char resolved[4096];
  const char* name = realpath(path, resolved) != NULL ? resolved : path;  // it may come as a descriptor's
  if (strrchr(name, '/') != NULL) name = strrchr(name, '/') + 1;
  if (strchr(name, '-') != NULL) name = strchr(name, '-') + 1;
  snprintf(fault, sizeof fault, "%s", name);
  char* suffix = strstr(fault, ".onnx");
  if (suffix != NULL) *suffix = 0;
  OrtStatus* status = commit("-in-load");
  if (status == NULL) status = real->CreateSession(env, path, options, out);
  if (status == NULL) status = commit("-behind-load");
  return status;
}

static OrtStatus* run(OrtSession* session, const OrtRunOptions* options, const char* const* input_names, const OrtValue* const* inputs,
                      size_t n, const char* const* output_names, size_t m, OrtValue** outputs) {
  OrtStatus* status = commit(runs == 0 ? "-in-run" : runs == 4 ? "-in-fifth-run" : "-in-timing");
  runs++;
  if (status == NULL) status = real->Run(session, options, input_names, inputs, n, output_names, m, outputs);
  float* values;
  if (status == NULL && is("nan", "-in-run") && real->GetTensorMutableData(outputs[0], (void**)&values) == NULL) values[0] = 0.0f / (float)zero;
  return status;
}

static void release_session(OrtSession* session) {
  OrtStatus* status = commit("-in-close");
  if (status != NULL) real->ReleaseStatus(status);
  real->ReleaseSession(session);
}

static int taken;  // whether the provider was asked for and said yes

static OrtStatus* take_provider(OrtSessionOptions* options, const char* name, const char* const* keys, const char* const* values, size_t n) {
  taken = 1;
  return NULL;
}

// As CUDA's and WebGPU's do, it looks for its device only when a session is made.
static OrtStatus* lost(void) { return real->CreateStatus(ORT_EP_FAIL, "the provider is taken, and its device is lost"); }

static OrtStatus* create_session_on_it(const OrtEnv* env, const ORTCHAR_T* path, const OrtSessionOptions* options, OrtSession** out) {
  return taken ? lost() : create_session(env, path, options, out);
}

static OrtStatus* create_session_of_bytes(const OrtEnv* env, const void* bytes, size_t size, const OrtSessionOptions* options, OrtSession** out) {
#ifndef MODEL_FAILS
  if (taken) return lost();
#endif
  return real->CreateSessionFromArray(env, bytes, size, options, out);
}

static OrtStatus* append_provider(OrtSessionOptions* options, const char* name, const char* const* keys, const char* const* values, size_t n) {
#ifdef PROVIDER_CRASHES
  abort();
#endif
  return real->CreateStatus(ORT_EP_FAIL, "the provider is listed, and its device is lost");
}

static OrtStatus* set_log_level(OrtSessionOptions* options, int level) {
  return real->CreateStatus(ORT_FAIL, "no log is kept here");
}

static const OrtApiBase* real_base(void) {
  void* handle = dlopen(REAL, RTLD_NOW | RTLD_LOCAL);
  if (handle == NULL) {
    say(2, dlerror());
    abort();
  }
  const OrtApiBase* (*get)(void) = (const OrtApiBase* (*)(void))dlsym(handle, "OrtGetApiBase");
  return get();
}

static const OrtApi* get_api(uint32_t version) {
#ifdef TOO_OLD
  return NULL;
#endif
  real = real_base()->GetApi(version);
  if (real == NULL || version != ORT_API_VERSION) return real;
  api = *real;
  api.CreateSession = create_session;
  api.Run = run;
  api.ReleaseSession = release_session;
#if defined(PROVIDER_FAILS) || defined(PROVIDER_CRASHES)
  api.SessionOptionsAppendExecutionProvider = append_provider;
#endif
#if defined(DEVICE_FAILS) || defined(MODEL_FAILS)
  api.SessionOptionsAppendExecutionProvider = take_provider;
  api.CreateSession = create_session_on_it;
  api.CreateSessionFromArray = create_session_of_bytes;
#endif
#ifdef OPTIONS_FAIL
  api.SetSessionLogSeverityLevel = set_log_level;
#endif
  return &api;
}

static const char* get_version(void) {
#ifdef VERSION
  return VERSION;
#endif
  return real_base()->GetVersionString();
}

#ifdef NO_BASE
const OrtApiBase* OrtGetApiBase(void) { return NULL; }
#else
const OrtApiBase* OrtGetApiBase(void) {
  static const OrtApiBase base = {get_api, get_version};
  return &base;
}
#endif

#ifdef CONSTRUCTOR
static void __attribute__((constructor)) constructor(void) { CONSTRUCTOR; }
#endif

#ifdef NEEDS
extern int needed(void);
int use(void) { return needed(); }
#endif
