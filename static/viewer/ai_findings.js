// placeholder until written
export class AiFindings {
  extension() {
    return { id: "imaging-cds.ai-findings" };
  }
}
