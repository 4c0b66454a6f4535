// A CUDA runtime that hands each launch to a function of Python's, and a torch whose CPU tensors say that they are CUDA's:
// linked with the library's own objects, the operators' host code runs as on a GPU, on memory that the interpreter of PTX
// reaches. What CUDA refuses is refused here: grids and blocks beyond its limits, more shared memory than was asked for.
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/c/shim.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <unordered_map>

struct dim3 {
  unsigned x, y, z;
};

namespace {

constexpr int32_t kDevice = 3;  // of every tensor; device 0 is the current one until a guard says otherwise
constexpr int kInvalidConfiguration = 9, kInvalidValue = 1;

struct Launch {
  const char* kernel;
  unsigned grid[3], block[3];
  uint64_t shared;
  int32_t device, stream_of;  // the device whose stream was taken; -1 for another stream
  void** arguments;
};

// Returns whether the launch succeeded.
int (*on_launch)(const Launch*) = nullptr;
// A tensor's memory is handed out: where it begins, dimensions, sizes, strides in elements, bytes of an element.
void (*on_pointer)(const void*, int64_t, const int64_t*, const int64_t*, int64_t) = nullptr;
void (*on_new)(const void*, int64_t) = nullptr;  // bytes that nobody has written

std::unordered_map<const void*, std::string>& kernels() {
  static std::unordered_map<const void*, std::string> names;
  return names;
}
std::unordered_map<const void*, int> asked_for;  // dynamic shared memory, by kernel
struct {
  dim3 grid, block;
  size_t shared;
  void* stream;
} configuration;
int32_t current_device = 0;
int last_error = 0, failing = -1;  // the launch that is to fail, counted from now
bool imagined = false;  // new tensors have no memory
char streams[8];

void pointer_of(AtenTensorHandle tensor, const void* begin) {
  int64_t dims, size, *sizes, *strides;
  int32_t dtype;
  aoti_torch_get_dim(tensor, &dims);
  aoti_torch_get_sizes(tensor, &sizes);
  aoti_torch_get_strides(tensor, &strides);
  aoti_torch_get_dtype(tensor, &dtype);
  size = int64_t(aoti_torch_dtype_element_size(dtype));
  if (on_pointer) on_pointer(begin, dims, sizes, strides, size);
}

}  // namespace

extern "C" {

// --- what the CUDA objects call -------------------------------------------------------------------------------------

void** __cudaRegisterFatBinary(void*) {
  static void* handle;
  return &handle;
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
void __cudaRegisterFunction(void**, const char* host, char*, const char* name, int, void*, void*, void*, void*, int*) {
  kernels()[host] = name;
}
unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, void* stream) {
  configuration = {grid, block, shared, stream};
  return 0;
}
int __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* shared, void** stream) {
  *grid = configuration.grid, *block = configuration.block, *shared = configuration.shared, *stream = configuration.stream;
  return 0;
}
int __cudaGetKernel(void** kernel, const void* host) {
  *kernel = const_cast<void*>(host);
  return 0;
}
int __cudaLaunchKernel(void* kernel, dim3 grid, dim3 block, void** arguments, size_t shared, void* stream) {
  const uint64_t threads = uint64_t(block.x) * block.y * block.z;
  const bool blocks = grid.x && grid.y && grid.z && grid.x <= 2147483647u && grid.y <= 65535u && grid.z <= 65535u;
  if (failing-- == 0) last_error = kInvalidValue;
  else if (!blocks || !threads || threads > 1024) last_error = kInvalidConfiguration;
  else if (shared > 48 * 1024 && (!asked_for.count(kernel) || size_t(asked_for[kernel]) < shared)) last_error = kInvalidValue;
  else {
    const char* at = static_cast<const char*>(stream);
    const bool ours = at >= streams && at < streams + sizeof(streams);
    Launch launch{kernels()[kernel].c_str(), {grid.x, grid.y, grid.z}, {block.x, block.y, block.z}, shared,
                  current_device, ours ? int32_t(at - streams) : -1, arguments};
    if (!on_launch || !on_launch(&launch)) last_error = 719;  // a launch failure
  }
  return last_error;
}
int cudaFuncSetAttribute(const void* kernel, int attribute, int value) {
  constexpr int kMaxDynamicSharedMemorySize = 8;
  if (attribute != kMaxDynamicSharedMemorySize || value > 227 * 1024) return last_error = kInvalidValue;
  asked_for[kernel] = value;
  return 0;
}
int cudaGetLastError() {
  int error = last_error;
  last_error = 0;
  return error;
}
const char* cudaGetErrorString(int error) {
  return error == kInvalidConfiguration ? "invalid configuration argument" : error == kInvalidValue ? "invalid argument" : "launch failure";
}

// --- what the operators ask torch -----------------------------------------------------------------------------------

AOTITorchError __real_torch_get_const_data_ptr(AtenTensorHandle, const void**);
AOTITorchError __real_torch_get_mutable_data_ptr(AtenTensorHandle, void**);
AOTITorchError __real_aoti_torch_empty_strided(int64_t, const int64_t*, const int64_t*, int32_t, int32_t, int32_t, AtenTensorHandle*);
AOTITorchError __real_aoti_torch_is_contiguous(AtenTensorHandle, bool*);
AOTITorchError __real_aoti_torch_library_init_impl(const char*, const char*, const char*, uint32_t, TorchLibraryHandle*);
AOTITorchError __real_aoti_torch_library_init_fragment(const char*, const char*, uint32_t, TorchLibraryHandle*);

AOTITorchError __wrap_aoti_torch_get_device_type(AtenTensorHandle, int32_t* type) {
  *type = aoti_torch_device_type_cuda();
  return 0;
}
AOTITorchError __wrap_aoti_torch_get_device_index(AtenTensorHandle, int32_t* index) {
  *index = kDevice;
  return 0;
}
AOTITorchError __wrap_torch_get_const_data_ptr(AtenTensorHandle tensor, const void** pointer) {
  AOTITorchError error = __real_torch_get_const_data_ptr(tensor, pointer);
  if (!error) pointer_of(tensor, *pointer);
  return error;
}
AOTITorchError __wrap_torch_get_mutable_data_ptr(AtenTensorHandle tensor, void** pointer) {
  AOTITorchError error = __real_torch_get_mutable_data_ptr(tensor, pointer);
  if (!error) pointer_of(tensor, *pointer);
  return error;
}
AOTITorchError __wrap_aoti_torch_empty_strided(int64_t dims, const int64_t* sizes, const int64_t* strides, int32_t dtype,
                                               int32_t device, int32_t index, AtenTensorHandle* made) {
  if (device != aoti_torch_device_type_cuda() || index != kDevice) return 1;
  static const int64_t none[16] = {};
  if (imagined && dims <= 16) strides = none;
  AOTITorchError error =
      __real_aoti_torch_empty_strided(dims, sizes, strides, dtype, aoti_torch_device_type_cpu(), 0, made);
  if (error || imagined) return error;
  int64_t count;
  const void* begin;
  aoti_torch_get_numel(*made, &count);
  __real_torch_get_const_data_ptr(*made, &begin);
  if (on_new) on_new(begin, count * int64_t(aoti_torch_dtype_element_size(dtype)));
  return 0;
}
AOTITorchError __wrap_aoti_torch_is_contiguous(AtenTensorHandle tensor, bool* contiguous) {
  AOTITorchError error = __real_aoti_torch_is_contiguous(tensor, contiguous);
  *contiguous = *contiguous || imagined;
  return error;
}
AOTITorchError __wrap_aoti_torch_library_init_impl(const char*, const char* key, const char* file, uint32_t line,
                                                   TorchLibraryHandle* made) {
  return __real_aoti_torch_library_init_impl("benchsuite_cuda", key, file, line, made);
}
AOTITorchError __wrap_aoti_torch_library_init_fragment(const char*, const char* file, uint32_t line, TorchLibraryHandle* made) {
  return __real_aoti_torch_library_init_fragment("benchsuite_cuda", file, line, made);
}
AOTITorchError __wrap_aoti_torch_create_device_guard(int32_t index, DeviceGuardHandle* guard) {
  *guard = reinterpret_cast<DeviceGuardHandle>(new int32_t(current_device));
  current_device = index;
  return 0;
}
AOTITorchError __wrap_aoti_torch_delete_device_guard(DeviceGuardHandle guard) {
  int32_t* before = reinterpret_cast<int32_t*>(guard);
  current_device = *before;
  delete before;
  return 0;
}
AOTITorchError aoti_torch_get_current_cuda_stream(int32_t device, void** stream) {
  *stream = streams + device;
  return 0;
}

// --- what Python calls ----------------------------------------------------------------------------------------------

#define VISIBLE __attribute__((visibility("default")))
VISIBLE void listen(int (*launch)(const Launch*), void (*pointer)(const void*, int64_t, const int64_t*, const int64_t*, int64_t),
                    void (*made)(const void*, int64_t)) {
  on_launch = launch, on_pointer = pointer, on_new = made;
}
// Forgets the attributes of kernels; after this many launches one will fail (-1: none).
VISIBLE void begin(int launches_before_one_fails, bool without_memory) {
  asked_for.clear();
  last_error = 0, failing = launches_before_one_fails, imagined = without_memory;
}
VISIBLE int32_t device() { return current_device; }
}
