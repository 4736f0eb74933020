declare module 'kafkajs-snappy' {
  /** Makes the codec that `CompressionCodecs[CompressionTypes.Snappy]` takes. */
  const snappy: () => unknown;
  export default snappy;
}
