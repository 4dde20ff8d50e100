# The CPU addon for machines without CMake; the same sources as CMakeLists.txt, from native/sources.json.
# gyp has no flags per file: one static library per instruction set.
{
  "variables": {
    "kernel_flags": ["-O3", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros",
                     "-fno-predictive-commoning", "-Wno-psabi"]
  },
  "target_defaults": {
    "include_dirs": ["native"],
    "cflags_cc!": ["-std=gnu++17", "-std=gnu++20", "-fno-exceptions", "-fno-rtti"],
    "cflags!": ["-fno-exceptions"],
    "cflags": ["-fvisibility=hidden"],
    "cflags_cc": ["-std=c++20", "-fvisibility-inlines-hidden"],
    "xcode_settings": {
      "GCC_ENABLE_CPP_EXCEPTIONS": "YES",
      "GCC_ENABLE_CPP_RTTI": "YES",
      "GCC_SYMBOLS_PRIVATE_EXTERN": "YES",
      "CLANG_CXX_LANGUAGE_STANDARD": "c++20",
      "MACOSX_DEPLOYMENT_TARGET": "11.0"
    }
  },
  "targets": [
    {
      "target_name": "groupconv",
      "sources": ["<!@(node scripts/sources.mjs addon)", "<!@(node scripts/sources.mjs core)"],
      "include_dirs": ["bindings", "<!@(node -p \"require('node-addon-api').include_dir\")"],
      "conditions": [
        ["OS=='linux'", {
          "ldflags": ["-Wl,--exclude-libs,ALL", "-Wl,-z,now", "-Wl,-z,nodelete"],
          "libraries": ["-ldl", "-lpthread"]
        }],
        ["target_arch=='x64'", { "dependencies": ["groupconv_baseline", "groupconv_avx2", "groupconv_avx512"] }],
        ["target_arch=='arm64'", { "dependencies": ["groupconv_neon"] }],
        ["target_arch!='x64' and target_arch!='arm64'", { "dependencies": ["groupconv_baseline"] }]
      ]
    }
  ],
  "conditions": [
    ["target_arch!='arm64'", {
      "targets": [{
        "target_name": "groupconv_baseline",
        "type": "static_library",
        "sources": ["<!@(node scripts/sources.mjs isa)"],
        "defines": ["GROUPCONV_ISA=baseline", "GROUPCONV_SIMD_WIDTH=4"],
        "cflags": ["<@(kernel_flags)"],
        "xcode_settings": { "OTHER_CPLUSPLUSFLAGS": ["<@(kernel_flags)"] }
      }]
    }],
    ["target_arch=='arm64'", {
      "targets": [{
        "target_name": "groupconv_neon",
        "type": "static_library",
        "sources": ["<!@(node scripts/sources.mjs isa)"],
        "defines": ["GROUPCONV_ISA=neon", "GROUPCONV_SIMD_WIDTH=4"],
        "cflags": ["<@(kernel_flags)"],
        "xcode_settings": { "OTHER_CPLUSPLUSFLAGS": ["<@(kernel_flags)"] }
      }]
    }],
    ["target_arch=='x64'", {
      "variables": {
        "avx2_flags": ["-mavx2", "-mfma", "-mf16c"],
        "avx512_flags": ["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mfma", "-mf16c",
                         "-mprefer-vector-width=512"]
      },
      "targets": [
        {
          "target_name": "groupconv_avx2",
          "type": "static_library",
          "sources": ["<!@(node scripts/sources.mjs isa)"],
          "defines": ["GROUPCONV_ISA=avx2", "GROUPCONV_SIMD_WIDTH=8"],
          "cflags": ["<@(kernel_flags)", "<@(avx2_flags)"],
          "xcode_settings": { "OTHER_CPLUSPLUSFLAGS": ["<@(kernel_flags)", "<@(avx2_flags)"] }
        },
        {
          "target_name": "groupconv_avx512",
          "type": "static_library",
          "sources": ["<!@(node scripts/sources.mjs isa)"],
          "defines": ["GROUPCONV_ISA=avx512", "GROUPCONV_SIMD_WIDTH=16"],
          "cflags": ["<@(kernel_flags)", "<@(avx512_flags)"],
          "xcode_settings": { "OTHER_CPLUSPLUSFLAGS": ["<@(kernel_flags)", "<@(avx512_flags)"] }
        }
      ]
    }]
  ]
}
