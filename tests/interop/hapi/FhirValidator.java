import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.FhirVersionEnum;
import ca.uhn.fhir.context.support.DefaultProfileValidationSupport;
import ca.uhn.fhir.validation.SingleValidationMessage;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.hl7.fhir.common.hapi.validation.support.CommonCodeSystemsTerminologyService;
import org.hl7.fhir.common.hapi.validation.support.InMemoryTerminologyServerValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.SnapshotGeneratingValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.ValidationSupportChain;
import org.hl7.fhir.common.hapi.validation.validator.FhirInstanceValidator;

/**
 * HAPI's instance validator with HL7's own definitions, which are in its jars; it asks no network.
 *
 * <p>A line of standard input is {@code {"version": "R4", "resource": "its JSON, letter by letter"}}, R4, R4B or R5; once all are
 * read, a line of standard output has the {@code issues} of each, in the same order.
 */
public final class FhirValidator {
    private static final ObjectMapper JSON = new ObjectMapper();

    private final ca.uhn.fhir.validation.FhirValidator validator;

    private FhirValidator(FhirVersionEnum version) {
        FhirContext fhir = FhirContext.forCached(version);
        FhirInstanceValidator instances =
                new FhirInstanceValidator(
                        new ValidationSupportChain(
                                new DefaultProfileValidationSupport(fhir),
                                new InMemoryTerminologyServerValidationSupport(fhir),
                                new CommonCodeSystemsTerminologyService(fhir),
                                new SnapshotGeneratingValidationSupport(fhir)));
        instances.setAnyExtensionsAllowed(true); // those of other guides, whose definitions are not in the jars
        instances.setErrorForUnknownProfiles(false); // nor are those guides' profiles
        validator = fhir.newValidator().registerValidatorModule(instances);
    }

    public static void main(String[] arguments) throws Exception {
        PrintStream answers = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        System.setOut(System.err); // what is logged is no answer
        Map<FhirVersionEnum, Release> releases = new EnumMap<>(FhirVersionEnum.class);
        List<Future<ObjectNode>> asked = new ArrayList<>();
        BufferedReader questions = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line; (line = questions.readLine()) != null; ) {
            JsonNode question = JSON.readTree(line);
            FhirVersionEnum version = FhirVersionEnum.valueOf(question.required("version").textValue());
            String resource = question.required("resource").textValue();
            asked.add(releases.computeIfAbsent(version, Release::new).ask(resource));
        }
        for (Future<ObjectNode> one : asked) {
            answers.println(one.get());
        }
        releases.values().forEach(Release::close);
    }

    /** One thread for each release: reading its definitions is most of the work. */
    private static final class Release {
        private final ExecutorService thread = Executors.newSingleThreadExecutor();
        private final Future<FhirValidator> validator;

        Release(FhirVersionEnum version) {
            validator = thread.submit(() -> new FhirValidator(version));
        }

        Future<ObjectNode> ask(String resource) {
            return thread.submit(() -> validator.get().issues(resource));
        }

        void close() {
            thread.shutdown();
        }
    }

    private ObjectNode issues(String resource) {
        ObjectNode answer = JSON.createObjectNode();
        ArrayNode issues = answer.putArray("issues");
        for (SingleValidationMessage one : validator.validateWithResult(resource).getMessages()) {
            issues.addObject()
                    .put("severity", one.getSeverity().getCode())
                    .put("at", one.getLocationString())
                    .put("rule", one.getMessageId())
                    .put("text", one.getMessage());
        }
        return answer;
    }
}
