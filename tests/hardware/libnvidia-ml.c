// A stand-in for NVIDIA's management library: one H100 whose functions fail as FAKE_NVML says.
//
//   FAKE_NVML="nvmlInitWithFlags=18 nvmlDeviceGetClockInfo=15@3"   error 18 at once; error 15 from the third call on
//   FAKE_NVML_REASONS=64   why clocks are low      FAKE_NVML_PIDS="17 18"   who computes on it, 2 GiB each
//
// Its energy counter runs at 300 W. The values are those of nvml.h; what pynvml does not call is not here.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SUCCESS = 0, INSUFFICIENT_SIZE = 7 };
typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { unsigned pid; unsigned long long used; unsigned gpu_instance, compute_instance; } Process;

static int calls[64];

static int failure(const char* name, int* count) {
  const char* said = getenv("FAKE_NVML");
  ++*count;
  for (const char* at = said ? strstr(said, name) : NULL; at; at = strstr(at + 1, name)) {
    if (at[strlen(name)] != '=') continue;
    int code = 0, from = 1;
    sscanf(at + strlen(name) + 1, "%d@%d", &code, &from);
    return *count >= from ? code : SUCCESS;
  }
  return SUCCESS;
}

#define CALL(number, name, arguments, body)               \
  int name arguments {                                    \
    int failed = failure(#name, &calls[number]);          \
    if (failed) return failed;                            \
    body;                                                 \
    return SUCCESS;                                       \
  }

const char* nvmlErrorString(int code) {
  static char text[32];
  snprintf(text, sizeof text, "error %d of the stand-in", code);
  return text;
}

CALL(0, nvmlInitWithFlags, (unsigned flags), )
CALL(1, nvmlShutdown, (void), )
CALL(2, nvmlDeviceGetCount_v2, (unsigned* count), *count = 1)
CALL(3, nvmlDeviceGetHandleByIndex_v2, (unsigned index, void** device), { if (index) return 2; *device = calls; })
CALL(4, nvmlDeviceGetHandleByUUID, (const char* uuid, void** device),
     { if (strcmp(uuid, "GPU-1")) return 6; *device = calls; })
CALL(5, nvmlDeviceGetName, (void* device, char* name, unsigned size), strncpy(name, "NVIDIA H100 80GB HBM3", size))
CALL(6, nvmlDeviceGetMemoryInfo, (void* device, Memory* memory), memory->total = 85520809984ull)
CALL(7, nvmlDeviceGetMigMode, (void* device, unsigned* now, unsigned* next), *now = *next = 0)
CALL(8, nvmlDeviceGetEccMode, (void* device, int* now, int* next), *now = *next = 1)
CALL(9, nvmlDeviceGetEnforcedPowerLimit, (void* device, unsigned* mw), *mw = 500000)
CALL(10, nvmlDeviceGetPowerManagementDefaultLimit, (void* device, unsigned* mw), *mw = 700000)
CALL(11, nvmlDeviceGetMaxClockInfo, (void* device, int type, unsigned* mhz), *mhz = type == 2 ? 2619 : 1980)
CALL(12, nvmlDeviceGetPersistenceMode, (void* device, int* on), *on = 1)
CALL(13, nvmlDeviceGetCurrPcieLinkGeneration, (void* device, unsigned* value), *value = 5)
CALL(14, nvmlDeviceGetCurrPcieLinkWidth, (void* device, unsigned* value), *value = 16)
CALL(15, nvmlDeviceGetTotalEccErrors, (void* device, int type, int counter, unsigned long long* n), *n = 0)
CALL(16, nvmlSystemGetDriverVersion, (char* text, unsigned size), strncpy(text, "580.65.06", size))
CALL(17, nvmlSystemGetCudaDriverVersion, (int* version), *version = 13000)
CALL(18, nvmlDeviceGetClockInfo, (void* device, int type, unsigned* mhz), *mhz = type == 2 ? 2619 : 1755)
CALL(19, nvmlDeviceGetPowerUsage, (void* device, unsigned* mw), *mw = 300000)
CALL(20, nvmlDeviceGetTemperature, (void* device, int sensor, unsigned* c), *c = 61)
CALL(21, nvmlDeviceGetCurrentClocksEventReasons, (void* device, unsigned long long* bits),
     *bits = getenv("FAKE_NVML_REASONS") ? strtoull(getenv("FAKE_NVML_REASONS"), NULL, 10) : 0)
CALL(22, nvmlDeviceGetTotalEnergyConsumption, (void* device, unsigned long long* mj), {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  *mj = (unsigned long long)(300 * (now.tv_sec * 1e3 + now.tv_nsec * 1e-6));
})

int nvmlDeviceGetComputeRunningProcesses_v3(void* device, unsigned* count, Process* found) {
  int failed = failure("nvmlDeviceGetComputeRunningProcesses_v3", &calls[23]);
  if (failed) return failed;
  char* at = getenv("FAKE_NVML_PIDS");
  unsigned room = *count, n = 0;
  while (at && *at) {
    unsigned pid = (unsigned)strtoul(at, &at, 10);
    if (found && n < room) found[n] = (Process){pid, 2ull << 30, 0xffffffffu, 0xffffffffu};
    ++n;
  }
  *count = n;
  return n > room ? INSUFFICIENT_SIZE : SUCCESS;
}
